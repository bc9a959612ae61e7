"""Telemetry: what a bridge says about a printer, at most twice a second."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from fluxprint_common.ids import PrinterId
from fluxprint_common.schemas import Received, Timestamp
from fluxprint_queue.ids import AttemptId
from fluxprint_queue.printers.states import Connection

Celsius = Annotated[float, Field(ge=-300, le=2000, allow_inf_nan=False)]


class Temperature(BaseModel):
    """Degrees Celsius; null where the printer does not say."""

    actual: Celsius | None
    target: Celsius | None


class Telemetry(Received):
    """The newest state of a printer; later fields may be added."""

    model_config = ConfigDict(extra="ignore")

    at: Timestamp
    connection: Connection
    state: str = Field(max_length=20, pattern="^[a-z_]+$", examples=["printing"])
    text: str | None = Field(max_length=200, description="OctoPrint's own words.")
    attempt_id: AttemptId | None
    progress: float | None = Field(ge=0, le=1, allow_inf_nan=False)
    print_time_s: float | None = Field(ge=0, le=10**8, allow_inf_nan=False)
    print_time_left_s: float | None = Field(ge=0, le=10**8, allow_inf_nan=False)
    height_mm: float | None = Field(
        None, ge=-10_000, le=10_000, allow_inf_nan=False, description="Of the nozzle, where OctoPrint tells it."
    )
    temperatures: dict[Annotated[str, Field(max_length=20)], Temperature] = Field(max_length=20)
    error: str | None = Field(max_length=500)


class TelemetryMessage(Received):
    """A telemetry message of the link."""

    printer_id: PrinterId
    data: Telemetry
