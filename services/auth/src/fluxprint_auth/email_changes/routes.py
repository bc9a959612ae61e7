"""HTTP of new addresses."""

from datetime import timedelta

from fastapi import APIRouter

from fluxprint_auth.accounts import repository
from fluxprint_auth.dependencies import CurrentClient, CurrentMailer, CurrentSettings, FreshOneself, LoginSessions
from fluxprint_auth.email_changes import service
from fluxprint_auth.email_changes.schemas import EmailChange, EmailConfirmation, EmailConfirmed
from fluxprint_auth.verification.schemas import MailAccepted
from fluxprint_common import openapi
from fluxprint_common.database import Session
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(prefix="/auth/email", tags=["auth"])


@router.post(
    "",
    status_code=202,
    summary="Change my e-mail address",
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("mail_account", "limit_mail_account")],
)
async def change_email(
    body: EmailChange,
    principal: FreshOneself,
    session: Session,
    mailer: CurrentMailer,
    settings: CurrentSettings,
    client: CurrentClient,
) -> MailAccepted:
    """Send a link to the old address and one to the new. The account changes when both were opened."""
    mailer.require()
    user = await repository.get(session, principal.subject)
    if user is None:
        raise NotFound
    await service.ask(
        session,
        mailer,
        user,
        body.new_email,
        lifetime=timedelta(seconds=settings.email_link_s),
        session_id=principal.session_id,
        client=client,
    )
    return MailAccepted(detail="Two mails are on their way: open the links in both.")


@router.post(
    "/confirm",
    summary="Confirm a change of address",
    responses=openapi.problems(409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("links", "limit_links")],
)
async def confirm_email_change(
    body: EmailConfirmation,
    session: Session,
    sessions: LoginSessions,
    mailer: CurrentMailer,
    client: CurrentClient,
) -> EmailConfirmed:
    """Confirm one of both addresses, with the token of its link.

    With the second one the account changes, and all sessions end but the one that asked for it.
    """
    changed = await service.confirm(session, mailer, sessions, body.token.get_secret_value(), client=client)
    return EmailConfirmed(changed=changed)
