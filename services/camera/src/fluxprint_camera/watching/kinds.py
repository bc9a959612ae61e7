"""The kinds of trouble, and what may be done about them: the one table."""

from enum import StrEnum


class Kind(StrEnum):
    FROZEN = "frozen"  # pictures come, and nothing moves in them
    BLACK = "black"
    NO_PICTURE = "no_picture"  # something prints, and no pictures come
    FAILURE = "failure"  # the detector says so


class Action(StrEnum):
    OFF = "off"
    NOTIFY = "notify"
    PAUSE = "pause"


class Outcome(StrEnum):
    """What became of a decision, once the queue service was told."""

    NOTIFIED = "notified"
    PAUSE_ORDERED = "pause_ordered"
    NOT_PRINTING = "not_printing"  # a pause was wanted, and the attempt that was seen does not print any more
    TOO_LATE = "too_late"  # the queue service was away for so long that nothing should be paused by that any more
    PRINTER_GONE = "printer_gone"
    REFUSED = "refused"  # the queue service does not understand it: a fault of ours


class EndReason(StrEnum):
    CLEARED = "cleared"
    PRINT_ENDED = "print_ended"
    SWITCHED_OFF = "switched_off"
    TOO_LATE = "too_late"  # for its pause: where the trouble is still there, it is decided anew


class Verdict(StrEnum):
    """What a person says of a decision."""

    RIGHT = "right"
    WRONG = "wrong"
