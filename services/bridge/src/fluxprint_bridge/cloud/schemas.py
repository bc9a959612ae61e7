"""What the queue service sends to a bridge: docs/protocol.md, "The calls of a bridge"."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Ids become parts of paths, here and in OctoPrint: nothing else is accepted.
Id = Annotated[str, Field(pattern=r"^[a-z]+_[0-9a-f]{32}$")]
AttemptState = Literal["claimed", "starting", "printing", "paused", "unknown"]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PrinterInfo(_Answer):
    id: Id
    name: str = ""
    enabled: bool = True


class Printers(_Answer):
    items: list[PrinterInfo]


class AssignedAttempt(_Answer):
    id: Id
    state: AttemptState
    fence: int
    lease_expires_in_s: float | None = None  #: null after the permit: then no lease runs
    same_journal: bool = True


class AssignedFile(_Answer):
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0)
    name: str = ""
    extension: Literal["gcode", "gco", "g"]


class Assignment(_Answer):
    attempt: AssignedAttempt
    file: AssignedFile
    permit_valid_s: float | None = None  #: the permit came with it: counted from the look before the claim


class NextFile(_Answer):
    attempt_id: Id
    file: AssignedFile


class Lease(_Answer):
    lease_expires_in_s: float


class Permit(_Answer):
    permit_valid_s: float


class Command(_Answer):
    id: Id
    attempt_id: Id
    kind: Literal["cancel", "pause", "resume"]
    expires_in_s: float


class Commands(_Answer):
    items: list[Command]
