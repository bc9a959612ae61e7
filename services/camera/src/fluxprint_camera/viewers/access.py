"""Who may watch: an access token, or in the address a view token or a share's, on the routes that ask here and
nowhere else."""

from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyQuery, SecurityScopes
from starlette.requests import HTTPConnection

from fluxprint_camera.shares import opening as shares
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.tokens import ViewTokens
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, authorise, bearer, has_credentials
from fluxprint_common.problems import Unauthenticated
from fluxprint_common.tokens import TokenError

log = get_logger(__name__)

view_token = APIKeyQuery(
    name="token",
    scheme_name="ViewToken",
    auto_error=False,
    description="A view token of this camera, for `<img>` elements, which cannot send headers; or a share's token.",
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
        return watching(await authorise(request, needed))
    return await of_token(request, token)


async def watcher_of_kept(
    request: Request,
    needed: SecurityScopes,
    documented: Annotated[object, Security(bearer)],
    token: Annotated[str | None, Security(view_token)],
) -> Watcher:
    """The watcher behind a request for what was kept of cameras, which no share opens.

    Raises:
        Unauthenticated: neither token is there and valid. Forbidden: the role may not watch.
    """
    if token is not None and shares.is_share(token) and not has_credentials(request):
        raise Unauthenticated("A share opens live pictures only.")
    return await current_watcher(request, needed, documented, token)


async def of_token(connection: HTTPConnection, token: str) -> Watcher:
    """The watcher behind a view token or the token of a share.

    Raises:
        Unauthenticated: it is not valid, or has ended. RateLimited: too many shares were guessed from this address.
    """
    if shares.is_share(token):
        return await shares.watcher_of(connection, token)
    tokens: ViewTokens = connection.app.state.view_tokens
    grants: Grants = connection.app.state.grants
    try:
        watcher = await tokens.read(token)
        if grants.refuse(watcher):
            raise TokenError("revoked")
        return watcher
    except TokenError as error:
        log.info("token_refused", reason=error.reason)
        raise Unauthenticated("The view token is not valid or has expired; ask for a new one.") from None


def watching(principal: Principal) -> Watcher:
    """The watcher that a signed-in principal is: until their access token ends."""
    return Watcher(
        organisation_id=principal.organisation_id,
        person_id=principal.credential_id,
        session_id=principal.session_id,
        issued_at=principal.issued_at,
        expires_at=principal.expires_at,
        printers=principal.printers,
    )


def sees_kept(permission: Permission) -> Any:
    """The same of videos and pictures that were kept."""
    return Security(watcher_of_kept, scopes=[str(permission)])


def watches(permission: Permission) -> Any:
    """A watcher whose access token has this permission, or whose view token was given to somebody with it."""
    return Security(current_watcher, scopes=[str(permission)])
