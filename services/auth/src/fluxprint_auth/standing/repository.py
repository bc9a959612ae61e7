"""SQL of what stands behind something, without a lock: whoever asks has an answer of this moment."""

from uuid import UUID

from sqlalchemy import Row, select

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.api_keys.models import ApiKeyRow
from fluxprint_auth.api_keys.repository import LIVE
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.sessions.models import SessionRow
from fluxprint_auth.sessions.repository import can_go_on
from fluxprint_common.database import ReadSession
from fluxprint_common.permissions import Role


async def role_of_member(session: ReadSession, user_id: UUID, organisation_id: UUID) -> Role | None:
    """What somebody is in an organisation; None: no member, or disabled."""
    statement = (
        select(MembershipRow.role)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(
            MembershipRow.user_id == user_id,
            MembershipRow.organisation_id == organisation_id,
            UserRow.disabled_at.is_(None),
        )
    )

    role = await session.scalar(statement)
    return None if role is None else Role(role)


async def session_via(session: ReadSession, session_id: UUID, *, user_id: UUID, organisation_id: UUID) -> str | None:
    """How the person of a session that goes on, in this organisation, signed in; None: there is no such session."""
    return await session.scalar(
        select(SessionRow.via).where(
            SessionRow.id == session_id,
            SessionRow.user_id == user_id,
            SessionRow.organisation_id == organisation_id,
            can_go_on(),
        )
    )


async def live_key(
    session: ReadSession, key_id: UUID, *, user_id: UUID, organisation_id: UUID
) -> Row[list[str], list[UUID] | None] | None:
    """Scopes and printers of a key that works."""
    statement = select(ApiKeyRow.scopes, ApiKeyRow.printer_ids).where(
        ApiKeyRow.id == key_id,
        ApiKeyRow.user_id == user_id,
        ApiKeyRow.organisation_id == organisation_id,
        LIVE,
    )
    return (await session.execute(statement)).one_or_none()
