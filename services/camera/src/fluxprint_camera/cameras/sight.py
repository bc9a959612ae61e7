"""Whose cameras somebody may see."""

from dataclasses import dataclass
from uuid import UUID

from fluxprint_common.principal import Principal


@dataclass(frozen=True)
class Sight:
    """An organisation's cameras; where `printers` is given, only theirs; where `cameras` is given, only those."""

    organisation_id: UUID
    printers: frozenset[UUID] | None = None
    cameras: frozenset[UUID] | None = None

    @classmethod
    def of(cls, principal: Principal) -> "Sight":
        return cls(principal.organisation_id, principal.printers)
