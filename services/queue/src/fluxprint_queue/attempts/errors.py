"""Why a bridge, or a person, is refused. The codes are the contract of docs/protocol.md."""

from fluxprint_common.problems import Conflict, NotFound


class AttemptNotFound(NotFound):
    """There is no such attempt, or it is not yours"""

    code = "attempt_not_found"


class FenceStale(Conflict):
    """Another process took this attempt over; let go of the printer"""

    code = "fence_stale"


class LeaseExpired(Conflict):
    """The lease ran out before the permit; the job may be somebody else's by now"""

    code = "lease_expired"


class AttemptEnded(Conflict):
    """The attempt has ended"""

    code = "attempt_ended"


class AttemptResolved(Conflict):
    """Somebody decided otherwise about this attempt already; the detail says who and what"""

    code = "attempt_resolved"


class TransitionRefused(Conflict):
    """The attempt is in a state from which this does not follow"""

    code = "transition_refused"


class JournalMismatch(Conflict):
    """The permit was given to another journal; only what the printer shows can tell what happened"""

    code = "journal_mismatch"


class JobCancelled(Conflict):
    """The job was cancelled or has failed; do not start"""

    code = "job_cancelled"


class PrintingDisabled(Conflict):
    """Printing is switched off"""

    code = "printing_disabled"


class PrinterDisabled(Conflict):
    """The printer is out of service"""

    code = "printer_disabled"


class BedOccupied(Conflict):
    """The bed is not confirmed clear"""

    code = "bed_occupied"
