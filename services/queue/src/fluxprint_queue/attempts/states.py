"""An attempt's states and transitions: the one table. docs/protocol.md tells its story."""

from enum import StrEnum
from types import MappingProxyType


class AttemptState(StrEnum):
    CLAIMED = "claimed"  # leased to a bridge; nothing physical has happened
    STARTING = "starting"  # the permit is given; start may have been pressed
    PRINTING = "printing"
    PAUSED = "paused"
    UNKNOWN = "unknown"  # nobody can tell whether it printed; the printer is held for a person
    RELEASED = "released"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ReportKind(StrEnum):
    """What a bridge can report."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    RELEASED = "released"


_S = AttemptState
_OUTCOMES = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})

TRANSITIONS: MappingProxyType[AttemptState, frozenset[AttemptState]] = MappingProxyType(
    {
        _S.CLAIMED: frozenset({_S.STARTING, _S.RELEASED, _S.CANCELLED}),
        # Back from `starting` only by a report that proves that start was refused or never pressed.
        _S.STARTING: _OUTCOMES | {_S.PRINTING, _S.UNKNOWN, _S.RELEASED},
        _S.PRINTING: _OUTCOMES | {_S.PAUSED, _S.UNKNOWN},
        _S.PAUSED: _OUTCOMES | {_S.PRINTING, _S.UNKNOWN},
        _S.UNKNOWN: _OUTCOMES,
        _S.RELEASED: frozenset(),
        _S.COMPLETED: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
    }
)

ENDED = frozenset(state for state, following in TRANSITIONS.items() if not following)
LIVE = frozenset(TRANSITIONS) - ENDED
#: After the permit only a report or a person ends an attempt: the part may be on the bed.
PERMITTED = LIVE - {AttemptState.CLAIMED}

#: Reasons of a release that lie in the printer or the file: after some of them the job is given up.
FAULTS = frozenset({"transfer_failed", "file_rejected", "start_refused", "octoprint_refused", "bridge_storage_failed"})
#: Reasons of a release by which the bridge vanished, and nobody can say whether the job or the bridge is sick: no job
#: is given up for them, but each on one printer within a day doubles the time for which it leaves the job alone.
VANISHED = frozenset({"lease_expired", "journal_lost"})
#: After these a printer leaves the job to others for a while, and takes others itself.
RESTED = FAULTS | VANISHED
#: Reason of an attempt whose copy a person gave up: that one is not printed again.
DROPPED = "resolved_drop"

REPORTED_STATE: MappingProxyType[ReportKind, AttemptState] = MappingProxyType(
    {
        ReportKind.STARTED: _S.PRINTING,
        ReportKind.PAUSED: _S.PAUSED,
        ReportKind.RESUMED: _S.PRINTING,
        ReportKind.COMPLETED: _S.COMPLETED,
        ReportKind.FAILED: _S.FAILED,
        ReportKind.CANCELLED: _S.CANCELLED,
        ReportKind.UNKNOWN: _S.UNKNOWN,
        ReportKind.RELEASED: _S.RELEASED,
    }
)
