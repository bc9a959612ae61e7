"""What is watched for where nobody decided, and which policy counts for a printer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from fluxprint_camera.watching.hysteresis import Band
from fluxprint_camera.watching.kinds import Action, Kind
from fluxprint_camera.watching.models import WatchPolicy

#: A detector may be so slow that two of its scores are further apart than they have to be bad for: two are no trend.
AT_LEAST = 3


@dataclass(frozen=True)
class Policy:
    """What is done about each kind of trouble, and when a score is one.

    Attributes:
        set_by: in whose name a print is paused; None where nobody decided, and nothing is.
    """

    actions: Mapping[Kind, Action]
    scores: Band
    set_by: UUID | None

    @classmethod
    def of(cls, row: WatchPolicy) -> Self:
        actions = {kind: Action(str(getattr(row, kind))) for kind in Kind}
        band = _scores(row.enter_score, row.leave_score, row.enter_after_s, row.leave_after_s)
        return cls(actions, band, row.updated_by)


def _scores(enter: float, leave: float, enter_after_s: float, leave_after_s: float) -> Band:
    return Band(enter, leave, enter_after_s, leave_after_s, enter_at_least=AT_LEAST if enter_after_s else 1)


#: People are told of everything, and nothing is paused.
DEFAULT = Policy(dict.fromkeys(Kind, Action.NOTIFY), _scores(0.8, 0.5, 30, 60), None)


class Policies:
    """The policies of some organisations."""

    def __init__(self, rows: Iterable[WatchPolicy] = ()) -> None:
        self._by = {(row.organisation_id, row.printer_id): Policy.of(row) for row in rows}

    def of(self, organisation_id: UUID, printer_id: UUID) -> Policy:
        """The printer's, or else the organisation's, or else the default."""
        own = self._by.get((organisation_id, printer_id))
        return own or self._by.get((organisation_id, None)) or DEFAULT
