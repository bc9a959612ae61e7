"""Recording security events: each one a row that stays and a line in the log."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_common.database import after_commit
from fluxprint_common.ids import new_id
from fluxprint_common.logs import get_logger

log = get_logger(__name__)


def record(
    session: AsyncSession,
    event: SecurityEvent,
    *,
    client: Client | None,
    organisation_id: UUID | None = None,
    actor_id: UUID | None = None,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    bridge_id: UUID | None = None,
    outcome: Outcome = Outcome.SUCCESS,
    reason: str | None = None,
    **data: str | int,
) -> None:
    """Append an event to this transaction, and log it once that is committed. Nothing in `data` may be a secret.

    Args:
        client: who asked; None for the command line and for the service itself.
        actor_id: the person who did it; where it is left out, the subject did it themselves, or, without a client,
            nobody who is known by an id.
        user_id: the person whom it happened to.
        reason: of a failure, a word for machines.
    """
    ids = {
        "organisation_id": organisation_id,
        "actor_id": actor_id or (user_id if client else None),
        "user_id": user_id,
        "session_id": session_id,
        "bridge_id": bridge_id,
    }
    facts = {
        "address": client.address if client else None,
        "agent": client.agent if client else None,
        "outcome": outcome.value,
        "reason": reason,
    }
    session.add(SecurityEventRow(id=new_id(), type=event, data=data, **ids, **facts))
    known = {name: str(value) for name, value in {**ids, **facts}.items() if value}
    after_commit(session, lambda: log.info(event.value, **known, **data))
