"""HTTP of verified addresses."""

from datetime import timedelta

from fastapi import APIRouter

from fluxprint_auth.accounts import sign_in
from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    Limiter,
    LoginSessions,
    PasswordHashing,
    Pool,
)
from fluxprint_auth.sessions.schemas import Tokens
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_auth.verification import service
from fluxprint_auth.verification.schemas import EmailVerification, MailAccepted, MailRequest
from fluxprint_common import openapi
from fluxprint_common.database import Session
from fluxprint_common.ratelimit import limit_by_address

router = APIRouter(prefix="/auth/verify-email", tags=["auth"])


@router.post(
    "",
    summary="Verify an e-mail address",
    responses=openapi.problems(401, 403, 409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("links", "limit_links")],
)
async def verify_email(
    body: EmailVerification,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Tokens:
    """Show that one reads the mail of an address, with the token of the link and the password that one chose; sign in.

    With another password it is 401 `invalid_credentials`, and the link stays good: somebody else may have registered
    the address. An account with a second factor asks for its code, as at `/auth/login`.
    """
    token = body.token.get_secret_value()
    await service.check_password(pool, passwords, token, body.password.get_secret_value())
    user = await service.verify(session, token, client=client)
    pair = await sign_in.complete(session, user, sessions=sessions, client=client)
    return transport.hand_over(pair, body.carry)


@router.post(
    "/resend",
    status_code=202,
    summary="Send the verification mail again",
    responses=openapi.problems(403),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("mail", "limit_mail")],
)
async def resend_verification(
    body: MailRequest, session: Session, mailer: CurrentMailer, settings: CurrentSettings, limiter: Limiter
) -> MailAccepted:
    """A new link for an address that waits to be verified. The answer is the same for every address."""
    mailer.require()
    await limiter.hit(settings.limit_mail_account, "mail_account", account_key(body.email))
    await service.resend(session, mailer, body.email, lifetime=timedelta(seconds=settings.email_link_s))
    return MailAccepted(detail="Where this address waits to be verified, a mail with a link is on its way.")
