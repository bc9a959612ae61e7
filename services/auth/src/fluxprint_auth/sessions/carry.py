"""What a client may ask for wherever it is answered with tokens."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fluxprint_common.schemas import Input


class Carry(StrEnum):
    """What carries the refresh token."""

    BODY = "body"
    COOKIE = "cookie"


class Carried(Input):
    """A request that is answered with tokens."""

    carry: Annotated[
        Carry,
        Field(
            description="`cookie`, for browsers: the refresh token comes in an HttpOnly cookie and is null in the "
            "answer, which has a `csrf_token` instead."
        ),
    ] = Carry.BODY
