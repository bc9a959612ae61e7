"""The request header that makes a repeated request harmless."""

from typing import Annotated

from fastapi import Header

IdempotencyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A repeated request with the same key gets the first answer; kept for 24 hours.",
    ),
]
