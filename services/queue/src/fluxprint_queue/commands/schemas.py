"""Bodies about commands."""

from pydantic import Field

from fluxprint_common.ids import PrinterId
from fluxprint_common.schemas import Output, Timestamp
from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.ids import AttemptId, CommandId


class Command(Output):
    """An order for a print that runs."""

    id: CommandId
    attempt_id: AttemptId
    printer_id: PrinterId
    kind: str = Field(
        max_length=20, examples=["pause"], json_schema_extra={"x-extensible-enum": [str(k) for k in CommandKind]}
    )
    state: str = Field(
        max_length=20, examples=["pending"], json_schema_extra={"x-extensible-enum": [str(s) for s in CommandState]}
    )
    detail: str | None = Field(max_length=1000)
    created_at: Timestamp
    deadline_at: Timestamp
    ended_at: Timestamp | None
