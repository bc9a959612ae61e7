"""Telling people by mail what happened to their second factor: whoever did it may not be them."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.database import transaction_time
from fluxprint_auth.mail import service as mail
from fluxprint_auth.mail.mailer import Mailer


class Notice(StrEnum):
    """What happened; the subject of the mail."""

    ENABLED = "Your second factor was turned on"
    DISABLED = "Your second factor was turned off"
    RESET = "Your second factor was taken away by an administrator"
    CODES_RENEWED = "Your recovery codes were replaced by new ones"
    CODE_USED = "One of your recovery codes was used"


async def tell(session: AsyncSession, mailer: Mailer, user_id: UUID, notice: Notice) -> None:
    """Write to the person, where mail is sent here."""
    user = await accounts.get(session, user_id)
    if user is None:
        return
    at = await transaction_time(session)
    await mail.send(session, mailer, "second_factor_changed", to=user.email, subject=notice.value, at=at)
