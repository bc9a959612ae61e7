"""HTTP of sessions."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Response, Security

from fluxprint_auth.accounts import login, sign_in
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    Limiter,
    LoginSessions,
    Oneself,
    PasswordHashing,
    Pool,
)
from fluxprint_auth.sessions import repository
from fluxprint_auth.sessions.carry import Carry
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.schemas import (
    Access,
    CsrfToken,
    DeviceSession,
    Login,
    LogoutAll,
    OrganisationSwitch,
    RefreshRequest,
    SessionsEnded,
    TokenInfo,
    Tokens,
    show_access,
    show_session,
    show_token,
)
from fluxprint_auth.sessions.transport import CurrentTransport, leaving
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import SessionId
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission, Via
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import Forbidden, NotFound, Unauthenticated
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

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
    mailer: CurrentMailer,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Tokens:
    """Begin a session with an e-mail address and a password.

    An account with a second factor asks for its code: 401 `second_factor_required`, with the `challenge` that the code
    is to be sent with to `/auth/login/second-factor`; or send it here as `code`.

    After some failures in a row the address is locked for a while for the network that they came from: 429
    `account_locked`, also for the right password. Who sends the `device_token` of an earlier login is not locked out by
    strangers.
    """
    if body.device_token is not None:
        client = replace(client, device_token=body.device_token.get_secret_value())
    await limiter.hit(settings.limit_login_account, "login_account", login.limit_key(body.email, client))
    attempt = login.Attempt(email=body.email, password=body.password.get_secret_value(), client=client)
    user = await login.authenticate(attempt, login.Lockout.of(settings), passwords, pool=pool, session=session)
    login.refuse_unverified(user, required=settings.requires_verified_email)
    code = sign_in.Code.of(body.code, settings, mailer) if body.code else None
    pair = await sign_in.complete(session, user, sessions=sessions, client=client, code=code)
    return transport.hand_over(pair, body.carry)


@router.post(
    "/refresh",
    summary="Refresh the tokens",
    responses=openapi.problems(401, 403),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("refresh", "limit_refresh")],
)
async def refresh_tokens(
    session: Session,
    sessions: LoginSessions,
    client: CurrentClient,
    transport: CurrentTransport,
    body: RefreshRequest | None = None,
) -> Tokens:
    """The next pair of tokens, for a refresh token that is then used up.

    Two requests with the same token within some seconds get the same answer. A token that was used up before that
    ends its session: somebody has a copy of it.

    Without a token in the body, the one in the cookie is used, and the next one goes there. That needs `X-CSRF-Token`.
    """
    if body is not None and body.refresh_token is not None:
        pair = await sessions.refresh(session, body.refresh_token.get_secret_value(), client=client)
        return transport.hand_over(pair, body.carry)
    token, _family = await transport.use_cookie(session, client)
    try:
        pair = await sessions.refresh(session, token, client=client)
    except (Unauthenticated, Forbidden) as error:
        transport.without_cookie(error)
        raise
    return transport.hand_over(pair, Carry.COOKIE)


@router.get(
    "/csrf-token",
    summary="Get the CSRF token",
    responses=openapi.problems(401),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("refresh", "limit_refresh")],
)
async def get_csrf_token(session: Reading, transport: CurrentTransport) -> CsrfToken:
    """What goes with the session in the cookie, for a page that was loaded again and knows nothing of it any more."""
    return CsrfToken(csrf_token=await transport.shown_csrf_token(session))


@router.post("/logout", status_code=204, summary="Sign out", responses=openapi.problems(401, 403))
async def log_out(
    leaving: Annotated[Principal | None, Security(leaving, scopes=[Permission.ACCOUNT_MANAGE.value])],
    session: Session,
    sessions: LoginSessions,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Response:
    """End the session of the access token: neither it nor the refresh token is worth anything from now on.

    Without an access token, end the session in the cookie. That needs `X-CSRF-Token`. Either way the cookie goes.
    """
    if leaving is not None:
        session_id, user_id = leaving.session_id, leaving.subject
    else:
        _token, family = await transport.use_cookie(session, client)
        session_id, user_id = family.id, family.user_id
    await sessions.end(session, session_id, user_id=user_id, client=client)
    return Response(status_code=204, headers={"Set-Cookie": transport.clear()} if transport.cookie else None)


@router.post("/logout-all", summary="Sign out everywhere", responses=openapi.problems(401, 403))
async def log_out_everywhere(
    principal: Oneself,
    session: Session,
    sessions: LoginSessions,
    client: CurrentClient,
    transport: CurrentTransport,
    body: LogoutAll | None = None,
) -> SessionsEnded:
    """End all sessions of the person, in all organisations; or all but this one."""
    keep = body is not None and body.keep_current
    ended = await sessions.end_all(
        session,
        principal.subject,
        EndReason.LOGGED_OUT,
        client=client,
        except_id=principal.session_id if keep else None,
    )
    if transport.cookie and not keep:
        transport.clear()
    return SessionsEnded(ended=ended)


@router.get("/sessions", summary="List my sessions", responses=openapi.problems(401, 403))
async def list_sessions(principal: Oneself, session: Reading, paging: Paging) -> Page[DeviceSession]:
    """Where the person is signed in, newest first."""
    rows = await repository.live_of(session, principal.subject, before_id=paging.after_id, limit=paging.limit + 1)
    return page(
        rows, paging, id_of=lambda row: row.id, show=lambda row: show_session(row, current_id=principal.session_id)
    )


@router.delete(
    "/sessions/{session_id}", status_code=204, summary="End a session", responses=openapi.problems(401, 403, 404)
)
async def delete_session(
    session_id: SessionId, principal: Oneself, session: Session, sessions: LoginSessions, client: CurrentClient
) -> Response:
    """Sign out somewhere else, at once: also what is open there, streams for example, ends."""
    reason = EndReason.LOGGED_OUT if session_id == principal.session_id else EndReason.ENDED_ELSEWHERE
    if not await sessions.end(session, session_id, user_id=principal.subject, client=client, reason=reason):
        raise NotFound
    return Response(status_code=204)


@router.get("/token-info", summary="Get what the access token is", responses=openapi.problems(401))
async def get_token_info(principal: Annotated[Principal, require()], session: Reading) -> TokenInfo:
    """Who it speaks for, how long, and what it allows."""
    of_session = principal.via is Via.SESSION
    return show_token(principal, await repository.get(session, principal.session_id) if of_session else None)


@router.post(
    "/switch-organisation",
    summary="Switch to another organisation",
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("switch_organisation", "limit_refresh")],
)
async def switch_organisation(
    body: OrganisationSwitch,
    principal: Oneself,
    session: Session,
    sessions: LoginSessions,
    client: CurrentClient,
) -> Access:
    """Go on with the same session in another organisation that one is a member of.

    The refresh token stays the same and speaks for that organisation from now on; access tokens made before are worth
    nothing any more.
    """
    access = await sessions.switch(
        session,
        principal.session_id,
        user_id=principal.subject,
        organisation_id=body.organisation_id,
        client=client,
    )
    return show_access(access)
