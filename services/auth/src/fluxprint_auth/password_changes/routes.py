"""HTTP of new passwords."""

from datetime import timedelta

from fastapi import APIRouter, Response

from fluxprint_auth.accounts import login, repository, step_up
from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.accounts.strength import Owner
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    FreshOneself,
    Limiter,
    LoginSessions,
    PasswordHashing,
    Pool,
)
from fluxprint_auth.password_changes import service
from fluxprint_auth.password_changes.schemas import PasswordChange, PasswordReset
from fluxprint_auth.verification.schemas import MailAccepted, MailRequest
from fluxprint_common import openapi
from fluxprint_common.database import Session
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/password-reset",
    status_code=202,
    summary="Ask for a new password",
    responses=openapi.problems(403),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("mail", "limit_mail")],
)
async def request_password_reset(
    body: MailRequest,
    session: Session,
    mailer: CurrentMailer,
    settings: CurrentSettings,
    limiter: Limiter,
    client: CurrentClient,
) -> MailAccepted:
    """A mail with a link for setting a new password. The answer is the same for every address."""
    mailer.require()
    await limiter.hit(settings.limit_mail_account, "mail_account", account_key(body.email))
    lifetime = timedelta(seconds=settings.password_link_s)
    await service.ask_for_reset(session, mailer, body.email, lifetime=lifetime, client=client)
    return MailAccepted(detail="Where there is an account with this address, a mail with a link is on its way.")


@router.post(
    "/password-reset/confirm",
    status_code=204,
    summary="Set a new password",
    responses=openapi.problems(409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("links", "limit_links")],
)
async def reset_password(
    body: PasswordReset,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    mailer: CurrentMailer,
    client: CurrentClient,
) -> Response:
    """Set the password with the token of the link. All sessions end; sign in afterwards."""
    token = body.token.get_secret_value()
    password_hash = await service.hash_for_reset(pool, passwords, token, body.password.get_secret_value())
    await service.reset(session, mailer, sessions, token, password_hash, client=client)
    return Response(status_code=204)


@router.post(
    "/password",
    status_code=204,
    summary="Change my password",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("password_change", "limit_password_change")],
)
async def change_password(
    body: PasswordChange,
    principal: FreshOneself,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    mailer: CurrentMailer,
    settings: CurrentSettings,
    client: CurrentClient,
) -> Response:
    """Another password from now on. All other sessions end.

    Who signs in elsewhere and has no password yet gets one through `/auth/password-reset`.
    """
    async with pool.reading() as reading:
        user = await repository.get(reading, principal.subject)
    if user is None:
        raise NotFound
    if user.password_hash is None:
        raise step_up.NoProofPossible
    new_password = body.new_password.get_secret_value()
    await passwords.refuse_guessable(new_password, Owner(email=user.email, name=user.name), pointer="/new_password")
    password_hash = await passwords.hash(new_password)
    attempt = login.Attempt(email=user.email, password=body.current_password.get_secret_value(), client=client)
    await step_up.check_password(
        session, principal, attempt, lockout=login.Lockout.of(settings), passwords=passwords, pool=pool
    )
    await service.change(session, mailer, sessions, user, password_hash, client=client, session_id=principal.session_id)
    return Response(status_code=204)
