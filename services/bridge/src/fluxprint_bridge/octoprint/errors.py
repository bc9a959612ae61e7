"""How a call of OctoPrint can end badly, in the distinctions that decisions are made of."""


class OctoPrintError(Exception):
    """Something about OctoPrint; the message is for a person."""


class Unavailable(OctoPrintError):
    """OctoPrint does not answer, or not as OctoPrint: it is off, unreachable or still booting. Decide nothing."""


class NotSent(Unavailable):
    """Unavailable, and the request certainly never reached OctoPrint."""


class Unreadable(Unavailable):
    """Unavailable, and asking again will not help: the answer is too large, or not what OctoPrint answers."""


class Failed(Unavailable):
    """OctoPrint itself answered that it failed, with 500 or above."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Refused(OctoPrintError):
    """OctoPrint, or something on the way to it, answered that it won't.

    Attributes:
        had_no_effect: OctoPrint itself said so, in its own words, before it did anything. A proxy's 408 may come after
            the request was passed on.
    """

    def __init__(self, status: int, message: str, *, had_no_effect: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.had_no_effect = had_no_effect


class Conflict(Refused):
    """409: the printer's state does not allow it."""


class Missing(Refused):
    """404 from OctoPrint itself: the file is not there."""


class KeyRefused(Refused):
    """The API key is unknown, or its user lacks a permission."""
