"""All tables of the queue, for migrations."""

from fluxprint_queue.attempts.models import Attempt, AttemptReport
from fluxprint_queue.commands.models import Command
from fluxprint_queue.database import Base
from fluxprint_queue.events.models import EventRow
from fluxprint_queue.files.models import Blob, File, Thumbnail
from fluxprint_queue.idempotency.models import IdempotencyKey
from fluxprint_queue.jobs.models import Job
from fluxprint_queue.printers.models import Printer

metadata = Base.metadata

__all__ = [
    "Attempt",
    "AttemptReport",
    "Blob",
    "Command",
    "EventRow",
    "File",
    "IdempotencyKey",
    "Job",
    "Printer",
    "Thumbnail",
    "metadata",
]
