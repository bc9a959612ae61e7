"""Security events: each one a row that stays and a line in the log."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_common.database import after_commit
from fluxprint_common.ids import new_id
from fluxprint_common.logs import get_logger

log = get_logger(__name__)


class SecurityEvent(StrEnum):
    REGISTERED = "auth_registered"
    ADMINISTRATOR_CREATED = "auth_administrator_created"
    LOGIN_SUCCEEDED = "auth_login_succeeded"
    LOGIN_FAILED = "auth_login_failed"
    LOCKOUT_TRIGGERED = "auth_lockout_triggered"
    REFRESH_REUSED = "auth_refresh_reused"
    LOGGED_OUT = "auth_logged_out"
    MEMBER_ADDED = "auth_member_added"
    BRIDGE_CREATED = "auth_bridge_created"
    BRIDGE_REVOKED = "auth_bridge_revoked"
    BRIDGE_ADDRESS_CHANGED = "auth_bridge_address_changed"


def record(
    session: AsyncSession,
    event: SecurityEvent,
    *,
    address: str | None,
    organisation_id: UUID | None = None,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    bridge_id: UUID | None = None,
    **data: str | int,
) -> None:
    """Append an event to this transaction, and log it once that is committed. Nothing in `data` may be a secret."""
    ids = {"organisation_id": organisation_id, "user_id": user_id, "session_id": session_id, "bridge_id": bridge_id}
    session.add(SecurityEventRow(id=new_id(), type=event, address=address, data=data, **ids))
    known = {name: str(value) for name, value in ids.items() if value}
    after_commit(session, lambda: log.info(event.value, address=address, **known, **data))
