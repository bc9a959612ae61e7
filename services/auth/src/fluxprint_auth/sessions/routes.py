"""HTTP of sessions."""

from fastapi import APIRouter, Response

from fluxprint_auth.accounts import login, sign_in
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentSettings,
    Limiter,
    LoginSessions,
    PasswordHashing,
    Person,
    Pool,
    Secrets,
)
from fluxprint_auth.sessions.schemas import Login, RefreshRequest, Tokens, show_tokens
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_common import openapi
from fluxprint_common.database import Session
from fluxprint_common.ratelimit import limit_by_address

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/login",
    summary="Sign in",
    responses=openapi.problems(401, 403),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("login", "limit_login")],
)
async def log_in(
    body: Login,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    settings: CurrentSettings,
    limiter: Limiter,
    keyring: Secrets,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Tokens:
    """Begin a session with an e-mail address and a password.

    An account with a second factor asks for its code: 401 `second_factor_required`, with the `challenge` that the code
    is to be sent with to `/auth/login/second-factor`; or send it here as `code`.

    After some failures in a row the address is locked for a while: 429 `account_locked`, also for the right password.
    """
    await limiter.hit(settings.limit_login_account, "login_account", login.account_key(body.email))
    attempt = login.Attempt(email=body.email, password=body.password.get_secret_value(), client=client)
    user = await login.authenticate(attempt, login.Lockout.of(settings), passwords, pool=pool, session=session)
    code = sign_in.Code.of(body.code, settings, keyring) if body.code else None
    pair = await sign_in.complete(session, user, sessions=sessions, client=client, code=code)
    return transport.hand_over(pair, body.carry)


@router.post(
    "/refresh",
    summary="Refresh the tokens",
    responses=openapi.problems(401),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("refresh", "limit_refresh")],
)
async def refresh_tokens(
    body: RefreshRequest, session: Session, sessions: LoginSessions, client: CurrentClient
) -> Tokens:
    """The next pair of tokens, for a refresh token that is then used up.

    Two requests with the same token within some seconds get the same answer. A token that was used up before that
    ends its session: somebody has a copy of it.
    """
    token = body.refresh_token.get_secret_value() if body.refresh_token else ""
    return show_tokens(await sessions.refresh(session, token, client=client))


@router.post("/logout", status_code=204, summary="Sign out", responses=openapi.problems(401, 403))
async def log_out(principal: Person, session: Session, sessions: LoginSessions, client: CurrentClient) -> Response:
    """End the session of the access token: its refresh token is worth nothing from now on."""
    await sessions.end(session, principal.session_id, user_id=principal.subject, client=client)
    return Response(status_code=204)
