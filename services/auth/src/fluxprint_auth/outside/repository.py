"""SQL of outside identities."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.outside.models import OutsideIdentityRow
from fluxprint_auth.sessions.models import SessionRow
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Via


async def lock(session: AsyncSession, *, issuer: str, subject: str) -> OutsideIdentityRow | None:
    """Who this is here. Until the transaction ends nobody else looks: of two first sights at once, one makes it."""
    name = func.hashtextextended(f"{issuer} {subject}", 0)
    await session.execute(select(func.pg_advisory_xact_lock(name)))
    return await session.scalar(
        select(OutsideIdentityRow).where(OutsideIdentityRow.issuer == issuer, OutsideIdentityRow.subject == subject)
    )


async def insert(
    session: AsyncSession, *, issuer: str, subject: str, user_id: UUID, issued_at: datetime
) -> OutsideIdentityRow:
    """Somebody who was never seen before."""
    row = OutsideIdentityRow(id=new_id(), issuer=issuer, subject=subject, user_id=user_id, newest_issued_at=issued_at)
    session.add(row)
    await session.flush()
    return row


async def insert_user(
    session: AsyncSession, user_id: UUID, *, email: str, name: str, verified_at: datetime | None
) -> None:
    """Somebody without a password here."""
    session.add(UserRow(id=user_id, email=email, name=name, is_administrator=False, email_verified_at=verified_at))
    await session.flush()


async def is_taken(session: AsyncSession, email: str) -> bool:
    """Whether somebody has that address."""
    return await session.scalar(select(UserRow.id).where(UserRow.email == email)) is not None


async def is_disabled(session: AsyncSession, user_id: UUID) -> bool:
    """Whether a user is shut out; it stays so until the transaction ends."""
    statement = select(UserRow.disabled_at).where(UserRow.id == user_id).with_for_update(read=True)
    return (await session.execute(statement)).scalar_one() is not None


async def is_outsider(session: AsyncSession, user_id: UUID | None) -> bool:
    """Whether a user is here by an outside issuer's word; without a user no, at the same cost."""
    return await session.scalar(select(OutsideIdentityRow.id).where(OutsideIdentityRow.user_id == user_id)) is not None


async def organisation_of(session: AsyncSession, slug: str) -> UUID | None:
    """The organisation with that short name."""
    return await session.scalar(select(OrganisationRow.id).where(OrganisationRow.slug == slug))


async def lock_membership(session: AsyncSession, *, user_id: UUID, organisation_id: UUID) -> MembershipRow | None:
    """What somebody is in an organisation; it stays so until the transaction ends."""
    statement = select(MembershipRow).where(
        MembershipRow.user_id == user_id, MembershipRow.organisation_id == organisation_id
    )
    return await session.scalar(statement.with_for_update())


async def note_seen(session: AsyncSession, identity_id: UUID, *, issued_at: datetime) -> None:
    """Keep when somebody was seen, and their youngest token."""
    newest = func.greatest(OutsideIdentityRow.newest_issued_at, issued_at)
    await session.execute(
        update(OutsideIdentityRow)
        .where(OutsideIdentityRow.id == identity_id)
        .values(last_seen_at=func.now(), newest_issued_at=newest)
        .execution_options(synchronize_session=False)
    )


async def newest_session(session: AsyncSession, *, user_id: UUID, organisation_id: UUID) -> SessionRow | None:
    """The session that stands, or stood last, for all of somebody's outside tokens in an organisation."""
    statement = (
        select(SessionRow)
        .where(
            SessionRow.user_id == user_id,
            SessionRow.organisation_id == organisation_id,
            SessionRow.via == Via.OUTSIDE,
        )
        .order_by(SessionRow.id.desc())
        .limit(1)
        .with_for_update()
    )
    return await session.scalar(statement)


async def insert_session(
    session: AsyncSession, *, user_id: UUID, organisation_id: UUID, lasts: timedelta, address: str, device: str | None
) -> UUID:
    """A session for somebody's outside tokens. It has no refresh token: the issuer's next token goes on with it."""
    row = SessionRow(
        id=new_id(),
        user_id=user_id,
        organisation_id=organisation_id,
        expires_at=func.now() + lasts,
        address=address,
        device=device,
        via=Via.OUTSIDE,
    )
    session.add(row)
    await session.flush()
    return row.id


async def note_session_used(session: AsyncSession, session_id: UUID, *, lasts: timedelta, address: str) -> None:
    """The session is used now, from there, and goes on for as long again."""
    await session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id)
        .values(last_used_at=func.now(), expires_at=func.now() + lasts, address=address)
        .execution_options(synchronize_session=False)
    )
