"""What goes between this service and its detector's process: messages with their length before them."""

import struct

from pydantic import BaseModel, ConfigDict, Field, JsonValue

LENGTH = struct.Struct("!I")
#: Pictures are smaller: the relay takes at most 8 MiB.
MAX_BYTES = 16 * 1024**2


class Begin(BaseModel):
    """To the process, once."""

    detector: str
    options: dict[str, JsonValue]
    start_s: float
    timeout_s: float


class Ready(BaseModel):
    """From the process, once: it is ready, or `refused` says why it can't be."""

    name: str = Field("", max_length=200)
    version: str = Field("", max_length=200)
    refused: str | None = Field(None, max_length=2000)


class Scores(BaseModel):
    """From the process, for each picture."""

    model_config = ConfigDict(allow_inf_nan=False)

    scores: dict[str, float] = Field(max_length=100)
