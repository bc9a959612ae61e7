"""Where to go on with an attempt, from what the journal and the queue remember of it. No input or output here.

docs/protocol.md, "After a crash": the same table.
"""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from fluxprint_bridge.journal import Step


class Next(StrEnum):
    TRANSFER = "transfer"  #: nothing physical has happened: go on
    RELEASE = "release"  #: nothing physical has happened, but its start is another journal's business
    PERMIT = "permit"  #: permitted, and proven never to have been started: ask again, then start
    LOOK = "look"  #: it may have been started: OctoPrint decides


def next_step(*, journal: Step | None, queue: str, same_journal: bool) -> Next:
    """What to do with an assignment; `journal` is None where it holds no such attempt."""
    if queue == "claimed":
        if not same_journal:
            return Next.RELEASE
        return Next.TRANSFER if journal in {None, Step.CLAIMED} else Next.LOOK
    never_intended = same_journal and journal in {Step.CLAIMED, Step.PERMITTED}
    return Next.PERMIT if queue == "starting" and never_intended else Next.LOOK


def print_path(attempt_id: str, extension: str) -> str:
    """Where OctoPrint stores the file of an attempt: the same for a bridge that lost its journal.

    The month is the attempt's, from its UUIDv7 (RFC 9562, 5.7): OctoPrint slows down with full folders.
    """
    milliseconds = UUID(hex=attempt_id.rpartition("_")[2]).int >> 80
    month = datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m")
    return f"fluxprint/{month}/{attempt_id}.{extension}"


def attempt_of(path: str | None) -> str | None:
    """The attempt whose file this path is by its shape, or None."""
    if path is None or not path.startswith("fluxprint/"):
        return None
    name = path.rpartition("/")[2].partition(".")[0]
    return name if name.startswith("attempt_") else None
