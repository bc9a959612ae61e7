"""What OctoPrint says about its printer and its job, classified. No input or output here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from fluxprint_bridge.plain import plain_text

MAX_TEXT_CHARS = 300
MAX_PATH_CHARS = 1000
MAX_HEATERS = 20
MAX_HEIGHT_MM = 10_000


def text_of(value: object) -> str | None:
    """A text of OctoPrint's for a person, a journal, a log; None for anything else. What is too long is cut."""
    return plain_text(value[:MAX_TEXT_CHARS]) if isinstance(value, str) else None


def path_of(value: object) -> str | None:
    """A path of OctoPrint's, None for anything else. One that no storage takes is changed, and so is nobody's."""
    return plain_text(value[:MAX_PATH_CHARS]) if isinstance(value, str) else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Text = Annotated[str | None, BeforeValidator(text_of)]
StoredPath = Annotated[str | None, BeforeValidator(path_of)]
Figure = Annotated[float | None, AfterValidator(_finite)]


class PrinterState(StrEnum):
    IDLE = "idle"
    STARTING = "starting"
    PRINTING = "printing"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    FINISHING = "finishing"
    CANCELLING = "cancelling"
    OFFLINE = "offline"
    ERROR = "error"


#: A print is on: nothing may be started, and nothing about it is final.
ACTIVE = frozenset(PrinterState) - {PrinterState.IDLE, PrinterState.OFFLINE, PrinterState.ERROR}

_BY_TEXT = {
    "Operational": PrinterState.IDLE,
    "Starting": PrinterState.STARTING,
    "Starting print from SD": PrinterState.STARTING,
    "Starting to send file to SD": PrinterState.STARTING,
    "Printing": PrinterState.PRINTING,
    "Printing from SD": PrinterState.PRINTING,
    "Sending file to SD": PrinterState.PRINTING,
    "Transferring file to SD": PrinterState.PRINTING,
    "Pausing": PrinterState.PAUSING,
    "Paused": PrinterState.PAUSED,
    "Resuming": PrinterState.RESUMING,
    "Finishing": PrinterState.FINISHING,
    "Cancelling": PrinterState.CANCELLING,
    "Offline": PrinterState.OFFLINE,
    "Opening serial connection": PrinterState.OFFLINE,
    "Detecting serial connection": PrinterState.OFFLINE,
    "Connecting": PrinterState.OFFLINE,
    "Error": PrinterState.ERROR,
    "Offline after error": PrinterState.ERROR,
}


def classify(text: str) -> PrinterState:
    """The state behind OctoPrint's state text.

    By text and not by `flags.printing`, which is true in six states. A text that nobody knows counts as printing:
    then nothing starts and nothing is decided.
    """
    return _BY_TEXT.get(text, PrinterState.PRINTING)


@dataclass(frozen=True)
class Job:
    """`/api/job`, or the same facts from a push message. Times are seconds, `completion` is 0..100."""

    state: PrinterState
    text: str
    path: str | None = None
    origin: str | None = None
    user: str | None = None
    completion: float | None = None
    print_time_s: float | None = None
    print_time_left_s: float | None = None
    last_print_time_s: float | None = None
    error: str | None = None
    height_mm: float | None = None  # only push messages tell it

    def is_of(self, path: str) -> bool:
        """Whether the selected file is the one at `path` in OctoPrint's own storage."""
        return self.path == path and self.origin == "local"

    def prints(self, path: str) -> bool:
        """Whether `path` is being printed, in whatever phase."""
        return self.is_of(path) and self.state in ACTIVE


class _File(BaseModel):
    path: StoredPath = None
    origin: Text = None


class _JobInfo(BaseModel):
    file: _File = _File()
    user: Text = None
    last_print_time: Figure = Field(None, alias="lastPrintTime")


class _Progress(BaseModel):
    completion: Figure = None
    print_time: Figure = Field(None, alias="printTime")
    print_time_left: Figure = Field(None, alias="printTimeLeft")


class _JobAnswer(BaseModel):
    job: _JobInfo
    progress: _Progress
    state: Annotated[str, BeforeValidator(text_of)]
    error: Text = None


def read_job(answer: object) -> Job:
    """Parse an answer of `GET /api/job`. Raises `ValueError` when it is none."""
    parsed = _JobAnswer.model_validate(answer)
    return Job(
        state=classify(parsed.state),
        text=parsed.state,
        path=parsed.job.file.path,
        origin=parsed.job.file.origin,
        user=parsed.job.user,
        completion=parsed.progress.completion,
        print_time_s=parsed.progress.print_time,
        print_time_left_s=parsed.progress.print_time_left,
        last_print_time_s=parsed.job.last_print_time,
        error=parsed.error or None,
    )


def read_current(current: Mapping[str, object]) -> Job:
    """Parse the `current` of a push message. Raises `ValueError`."""
    state = current.get("state")
    if not isinstance(state, dict):
        raise ValueError("a push message without a state")
    job = read_job({**current, "state": state.get("text"), "error": state.get("error")})
    return replace(job, height_mm=_height(current.get("currentZ")))


def _height(value: object) -> float | None:
    if isinstance(value, int | float) and -MAX_HEIGHT_MM <= value <= MAX_HEIGHT_MM:
        return float(value)
    return None


class Temperature(BaseModel):
    """Degrees Celsius; null while the printer has not told."""

    model_config = ConfigDict(frozen=True)
    actual: Figure = None
    target: Figure = None


def read_temperatures(current: Mapping[str, object]) -> dict[str, Temperature] | None:
    """The newest temperatures of a push message by heater (`tool0`, `bed`), or None when it brings none."""
    samples = current.get("temps")
    if not isinstance(samples, list) or not samples or not isinstance(samples[-1], dict):
        return None
    heaters = {name: _temperature(sample) for name, sample in islice(samples[-1].items(), MAX_HEATERS)}
    # OctoPrint lists a chamber that the printer does not have.
    return {plain_text(name[:20]): heater for name, heater in heaters.items() if heater.actual is not None}


def read_clock(current: Mapping[str, object]) -> float | None:
    """When a push message was sent, in seconds since 1970 by OctoPrint's clock, or None where it does not say."""
    sent_s = current.get("serverTime")
    return sent_s if isinstance(sent_s, float) and math.isfinite(sent_s) else None


def _temperature(sample: object) -> Temperature:
    try:
        return Temperature.model_validate(sample)
    except ValidationError:
        return Temperature()  # "time", or an odd one


class LastPrint(BaseModel):
    success: bool
    print_time_s: Figure = Field(None, alias="printTime")
    ended_at: Figure = Field(None, alias="date")  #: seconds since 1970 by OctoPrint's clock


class Prints(BaseModel):
    """How often a file was printed, as OctoPrint remembers it. It forgets what a crash interrupted."""

    success: int = 0
    failure: int = 0
    last: LastPrint | None = None

    @property
    def any(self) -> bool:
        return self.success + self.failure > 0

    @property
    def again(self) -> bool:
        """Whether it was printed more than once. A cancel while it finishes counts as a success and then a failure."""
        twice = self.success > 1 or self.failure > 1
        return twice or (self.success + self.failure > 1 and self.last is not None and self.last.success)


class StoredFile(BaseModel):
    """`GET /api/files/local/<path>`; `sha1` is null for a file whose copying was cut off."""

    path: str
    size_bytes: int = Field(alias="size")
    sha1: str | None = Field(None, alias="hash")
    prints: Prints = Prints()


def _prints_or_none(value: object, read: ValidatorFunctionWrapHandler) -> Prints:
    """A list is read for other reasons as well: one file's broken history does not make it unreadable."""
    try:
        found: Prints = read(value)
    except ValidationError:
        return Prints()
    return found


class Entry(BaseModel):
    """One line of a folder's list."""

    name: str
    type: str  #: "machinecode", "folder", "model"
    uploaded_at: float = Field(0, alias="date")  #: seconds since 1970 by OctoPrint's clock
    prints: Annotated[Prints, WrapValidator(_prints_or_none)] = Prints()


class Folder(BaseModel):
    """`GET /api/files/local/<folder>`: folders in it are always listed without their own children.

    OctoPrint calls what is in the topmost one `files`.
    """

    children: list[Entry] = Field(validation_alias=AliasChoices("children", "files"))
