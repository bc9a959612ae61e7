"""HTTP of events."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from fluxprint_common.database import Reading
from fluxprint_common.events import Event
from fluxprint_common.openapi import problems
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.schemas import Output
from fluxprint_queue.events import repository, stream

router = APIRouter(prefix="/events", tags=["events"])

Reader = Annotated[Principal, require(Permission.EVENTS_READ)]
Sequence = Annotated[int, Query(ge=0, le=2**63 - 1, json_schema_extra={"format": "int64"})]
EventTypes = Annotated[
    list[Annotated[str, Field(max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$")]] | None,
    Query(max_length=50, description="Only these types."),
]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-Sent Events. `id`: the sequence to resume after; `event`: the type; `stream.reset` asks "
        "to read the resources anew; `telemetry` carries `{printer_id, data}` and no id.",
        "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/Event"}}},
    }
}


class EventList(Output):
    """Events in the order in which they happened."""

    items: list[Event] = Field(max_length=200)
    next_after: int = Field(
        ge=0,
        le=2**63 - 1,
        json_schema_extra={"format": "int64"},
        description="Give it back as `after`; never null, for polling.",
    )


@router.get("", summary="List events", response_model=EventList, responses=problems(401, 403))
async def list_events(
    session: Reading,
    principal: Reader,
    after: Sequence = 0,
    limit: Annotated[int, Query(ge=1, le=200, json_schema_extra={"format": "int32"})] = 50,
    type: EventTypes = None,
) -> EventList:
    """What happened in the organisation, oldest first."""
    events = await repository.visible(session, principal, after=after, types=type or [], limit=limit)
    return EventList(items=list(events), next_after=events[-1].sequence if events else after)


@router.get(
    "/stream", summary="Stream events", response_class=StreamingResponse, responses=problems(401, 403, 429) | _STREAM
)
async def stream_events(
    request: Request,
    principal: Reader,
    telemetry: Annotated[bool, Query(description="Also the printers' telemetry.")] = False,
    type: EventTypes = None,
    last_event_id: Annotated[
        str | None,
        Header(max_length=20, pattern=r"^\d{1,19}$", description="The last `id` that was seen: resume after it."),
    ] = None,
) -> StreamingResponse:
    """Events as they happen (Server-Sent Events). The stream ends with its access token; resume with a new one."""
    wanted = stream.StreamRequest(
        after=int(last_event_id) if last_event_id else None, types=type or [], with_telemetry=telemetry
    )
    state = request.app.state
    return stream.EventStream(state.database, state.feed, principal, wanted, revocations=state.revocations)
