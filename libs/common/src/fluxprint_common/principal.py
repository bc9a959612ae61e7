"""Who is asking, and whether they may: permission stands in a route's signature.

async def create_job(principal: Annotated[Principal, require(Permission.JOBS_WRITE)], ...)
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from fastapi import Security
from fastapi.security import HTTPBearer, SecurityScopes
from fastapi.security.base import SecurityBase
from pydantic import TypeAdapter
from starlette.requests import HTTPConnection

from fluxprint_common.exchange import MAX_AGENT_CHARS, Caller, Credential, CredentialKind, Exchange
from fluxprint_common.ids import BridgeId, OrganisationId, PrinterId, SessionId, UserId
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission, Role, Via, permissions_of
from fluxprint_common.problems import BadRequest, Forbidden, Unauthenticated
from fluxprint_common.revocations import Revocations
from fluxprint_common.tokens import Claims, TokenError, TokenVerifier, unverified_issuer

log = get_logger(__name__)

ACCESS_TOKEN_CLAIMS = ("sid", "org", "role")
MAX_ACCESS_TOKEN_S = 3600
API_KEY_HEADER = "X-API-Key"

_ORGANISATION: TypeAdapter[UUID] = TypeAdapter(OrganisationId)
_SESSION: TypeAdapter[UUID] = TypeAdapter(SessionId)
_USER: TypeAdapter[UUID] = TypeAdapter(UserId)
_BRIDGE: TypeAdapter[UUID] = TypeAdapter(BridgeId)
_PRINTERS: TypeAdapter[frozenset[UUID]] = TypeAdapter(frozenset[PrinterId])

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="Bearer",
    bearerFormat="JWT",
    description="A short-lived access token (ES256 JWT, RFC 7519, handled as RFC 8725 advises).",
)


@dataclass(frozen=True, slots=True)
class Principal:
    """The person or bridge behind a request.

    Attributes:
        subject: the user's id, or the bridge's where `role` is bridge. An API key speaks for the user who made it.
        session_id: what the token ends with: a session, an API key, a bridge.
        issued_at: when the token was made.
        authenticated_at: when the person last proved who they are, with everything that their account asks for; None
            where nobody did (API keys, bridges, outside issuers).
        printers: the only printers that the token is good for; None: all that the role may see.
    """

    subject: UUID
    organisation_id: UUID
    role: Role
    session_id: UUID
    permissions: frozenset[Permission]
    expires_at: datetime
    issued_at: datetime
    via: Via = Via.SESSION
    authenticated_at: datetime | None = None
    printers: frozenset[UUID] | None = None

    @property
    def credential_id(self) -> UUID:
        """Whose limits and places count: an API key has its own, so that a program does not use up its maker's."""
        return self.session_id if self.via is Via.API_KEY else self.subject

    @property
    def sees_only_own(self) -> bool:
        """Clients look at what is theirs; everybody else at the organisation's."""
        return self.role is Role.CLIENT


def principal_of(claims: Claims) -> Principal:
    """The principal that verified claims describe.

    Raises:
        TokenError: a claim does not have the shape that our issuer gives it.
    """
    try:
        role = Role(str(claims["role"]))
        return _principal(
            subject=str(claims["sub"]),
            organisation=str(claims["org"]),
            role=role,
            session=str(claims["sid"]),
            scope=str(claims.get("scope") or ""),
            expires=int(str(claims["exp"])),
            issued=int(str(claims["iat"])),
            via=Via(str(claims.get("via") or (Via.BRIDGE if role is Role.BRIDGE else Via.SESSION))),
            authenticated=int(str(claims.get("auth_time") or 0)),
            administrator=claims.get("administrator") is True,
            printers=_printers(claims.get("printers")),
        )
    except (ValueError, KeyError) as error:
        raise TokenError("claims of another shape") from error


def _printers(claim: object) -> tuple[str, ...] | None:
    if claim is None:
        return None
    if not isinstance(claim, list):
        raise ValueError("printers must be a list")
    return tuple(str(printer) for printer in claim)


@lru_cache(maxsize=4096)  # a token comes with many requests
def _principal(
    *,
    subject: str,
    organisation: str,
    role: Role,
    session: str,
    scope: str,
    expires: int,
    issued: int,
    via: Via,
    authenticated: int,
    administrator: bool,
    printers: tuple[str, ...] | None,
) -> Principal:
    return Principal(
        subject=(_BRIDGE if role is Role.BRIDGE else _USER).validate_python(subject),
        organisation_id=_ORGANISATION.validate_python(organisation),
        role=role,
        session_id=_SESSION.validate_python(session),
        permissions=permissions_of(role, scope, via=via, administrator=administrator),
        expires_at=datetime.fromtimestamp(expires, UTC),
        issued_at=datetime.fromtimestamp(issued, UTC),
        via=via,
        authenticated_at=datetime.fromtimestamp(authenticated, UTC) if authenticated else None,
        printers=None if printers is None else _PRINTERS.validate_python(printers),
    )


class TwoCredentials(BadRequest):
    """Send an access token or an API key, not both"""

    code = "two_credentials"


async def authenticate(connection: HTTPConnection, token: str) -> Principal:
    """Verify an access token of this application, or of the outside issuer that it trusts.

    Raises:
        Unauthenticated: whatever is wrong with it; the reason is only logged.
    """
    outside_issuer: str | None = connection.app.state.outside_issuer
    if outside_issuer is not None and unverified_issuer(token) == outside_issuer:
        return await _exchanged(connection, Credential(CredentialKind.OUTSIDE_TOKEN, token))
    return await _verified(connection, token)


async def _verified(connection: HTTPConnection, token: str) -> Principal:
    verifier: TokenVerifier = connection.app.state.access_tokens
    revocations: Revocations = connection.app.state.revocations
    try:
        principal = principal_of(await verifier.verify(token))
        if revocations.refuse(principal.session_id, principal.issued_at):
            raise TokenError("revoked")
        return principal
    except TokenError as error:
        log.info("token_refused", reason=error.reason)
        raise Unauthenticated("The access token is not valid or has expired; refresh it or sign in again.") from None


async def _exchanged(connection: HTTPConnection, credential: Credential) -> Principal:
    """The principal of what auth gives for a credential."""
    exchange: Exchange = connection.app.state.exchange
    address = connection.client.host if connection.client else ""
    caller = Caller(address, connection.headers.get("User-Agent", "")[:MAX_AGENT_CHARS])
    token = await exchange.access_token(credential, caller)
    try:
        return await _verified(connection, token)
    except Unauthenticated:
        # What was kept has been revoked, by itself or because its person's role changed. Auth knows which of both.
        exchange.forget(credential, token)
    return await _verified(connection, await exchange.access_token(credential, caller))


async def authorise(connection: HTTPConnection, needed: SecurityScopes) -> Principal:
    """The principal of a request's credentials, with every permission that the route asks for.

    Raises:
        Unauthenticated: no valid ones. TwoCredentials. Forbidden: valid ones without the permission.
    """
    principal = await _of_headers(connection)
    missing = [scope for scope in needed.scopes if scope not in principal.permissions]
    if missing:
        lacking = ", which this API key has not got" if principal.via is Via.API_KEY else ""
        raise Forbidden(f"This needs the permission {', '.join(missing)}{lacking}.")
    return principal


async def _of_headers(connection: HTTPConnection) -> Principal:
    authorization, api_key = connection.headers.get("Authorization"), connection.headers.get(API_KEY_HEADER)
    if api_key is not None:
        if authorization is not None:
            raise TwoCredentials
        return await _exchanged(connection, Credential(CredentialKind.API_KEY, api_key))
    scheme, _, token = (authorization or "").partition(" ")
    if not token or scheme.lower() != "bearer":
        raise Unauthenticated("Send an access token, Authorization: Bearer <token>, or an API key, X-API-Key: <key>.")
    return await authenticate(connection, token)


def has_credentials(connection: HTTPConnection) -> bool:
    """Whether a request says in a header who it is from."""
    return "Authorization" in connection.headers or API_KEY_HEADER in connection.headers


def credentials_of(connection: HTTPConnection) -> dict[str, str]:
    """The header that a request says in who it is from, to ask another service in its name."""
    return {name: connection.headers[name] for name in ("Authorization", API_KEY_HEADER) if name in connection.headers}


class _CurrentPrincipal(SecurityBase):
    """The principal of a request. A security scheme of its own instead of a dependency on one: each level that FastAPI
    has to solve costs a tenth of a small request."""

    model = bearer.model
    scheme_name = bearer.scheme_name

    async def __call__(self, connection: HTTPConnection, needed: SecurityScopes) -> Principal:
        return await authorise(connection, needed)


current_principal = _CurrentPrincipal()


def require(*permissions: Permission) -> Any:
    """The signed-in principal with these permissions; with none, anybody signed in."""
    return Security(current_principal, scopes=[str(permission) for permission in permissions])
