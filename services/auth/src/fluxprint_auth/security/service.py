"""Recording security events: each one a row that stays and a line in the log."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.security.events import FAILURES, Outcome, SecurityEvent
from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_common.database import after_commit
from fluxprint_common.ids import new_id
from fluxprint_common.logs import get_logger
from fluxprint_common.principal import Principal
from fluxprint_common.ratelimit import Refusal

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
    outcome: Outcome | None = None,
    reason: str | None = None,
    **data: str | int,
) -> None:
    """Append an event to this transaction, and log it once that is committed. Nothing in `data` may be a secret.

    Args:
        client: who asked; None for the command line and for the service itself.
        actor_id: the person who did it; where it is left out, the subject did it themselves. Nobody is known to have
            done what failed, and what the command line did, which has no client.
        user_id: the person whom it happened to.
        outcome: where it is left out, what the event's name says.
        reason: of a failure, a word for machines.
    """
    outcome = outcome or (Outcome.FAILURE if event in FAILURES else Outcome.SUCCESS)
    reason = reason or FAILURES.get(event)
    by_themselves = client is not None and outcome is Outcome.SUCCESS
    ids = {
        "organisation_id": organisation_id,
        "actor_id": actor_id or (user_id if by_themselves else None),
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


def record_by(
    session: AsyncSession, event: SecurityEvent, principal: Principal, *, client: Client, **facts: Any
) -> None:
    """`record` what somebody did in the session that they are in, with `facts` as there."""
    record(
        session,
        event,
        client=client,
        organisation_id=principal.organisation_id,
        actor_id=principal.subject,
        session_id=principal.session_id,
        **facts,
    )


def record_refusal(session: AsyncSession, refusal: Refusal) -> None:
    """Append that a rate limit refused requests. The limiter has logged each of them."""
    key: dict[str, object] = {} if refusal.address else {"key": refusal.key[:16]}
    session.add(
        SecurityEventRow(
            id=new_id(),
            type=SecurityEvent.RATE_LIMIT_EXCEEDED,
            outcome=Outcome.FAILURE.value,
            reason=refusal.scope,
            address=refusal.address,
            data={"limit": refusal.limit, **key},
        )
    )
