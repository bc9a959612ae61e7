"""Who may watch: an access token, or a view token in the address, on the routes that ask here and nowhere else."""

from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyQuery, SecurityScopes

from fluxprint_camera.viewers.tokens import ViewTokens, Watcher
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, authorise, bearer, has_credentials
from fluxprint_common.problems import Unauthenticated
from fluxprint_common.revocations import Revocations
from fluxprint_common.tokens import TokenError

log = get_logger(__name__)

view_token = APIKeyQuery(
    name="token",
    scheme_name="ViewToken",
    auto_error=False,
    description="A view token of this camera, for `<img>` elements, which cannot send headers.",
)


async def current_watcher(
    request: Request,
    needed: SecurityScopes,
    _documented: Annotated[object, Security(bearer)],
    token: Annotated[str | None, Security(view_token)],
) -> Watcher:
    """The watcher behind a request; where there is a header, it counts.

    Raises:
        Unauthenticated: neither token is there and valid. Forbidden: the role may not watch.
    """
    if token is None or has_credentials(request):
        return _watching(await authorise(request, needed))
    tokens: ViewTokens = request.app.state.view_tokens
    revocations: Revocations = request.app.state.revocations
    try:
        watcher = await tokens.read(token)
        if revocations.refuse(watcher.session_id, watcher.issued_at):
            raise TokenError("revoked")
        return watcher
    except TokenError as error:
        log.info("token_refused", reason=error.reason)
        raise Unauthenticated("The view token is not valid or has expired; ask for a new one.") from None


def _watching(principal: Principal) -> Watcher:
    return Watcher(
        organisation_id=principal.organisation_id,
        person_id=principal.credential_id,
        session_id=principal.session_id,
        issued_at=principal.issued_at,
        expires_at=principal.expires_at,
        printers=principal.printers,
    )


def watches(permission: Permission) -> Any:
    """A watcher whose access token has this permission, or whose view token was given to somebody with it."""
    return Security(current_watcher, scopes=[str(permission)])
