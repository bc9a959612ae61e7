"""Lists in pages: `limit`, an opaque `cursor`, and `next_cursor`, null at the end. No totals (AIP-158)."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from fluxprint_common.problems import BadRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 200

T = TypeVar("T")
R = TypeVar("R")


class CursorInvalid(BadRequest):
    """The cursor is not one that this list gave out; start again without it"""

    code = "cursor_invalid"


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T] = Field(max_length=MAX_LIMIT)
    next_cursor: str | None = Field(max_length=200, description="Give it back as `cursor` for the next page.")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for."""

    limit: int
    cursor: str | None

    @property
    def after_id(self) -> UUID | None:
        """The id behind which the page starts, for lists that are sorted by id.

        Raises:
            CursorInvalid
        """
        if self.cursor is None:
            return None
        try:
            return UUID(bytes=base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4)))
        except (ValueError, binascii.Error):
            raise CursorInvalid from None


async def _asked(  # of what is not async, each call takes a thread
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, json_schema_extra={"format": "int32"})] = DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


Paging = Annotated[PageRequest, Depends(_asked)]


def page(rows: Sequence[R], request: PageRequest, *, id_of: Callable[[R], UUID], show: Callable[[R], T]) -> Page[T]:
    """A page from `limit + 1` rows: the extra row only tells that there are more."""
    shown = rows[: request.limit]
    more = len(rows) > request.limit
    cursor = base64.urlsafe_b64encode(id_of(shown[-1]).bytes).rstrip(b"=").decode() if more else None
    return Page(items=[show(row) for row in shown], next_cursor=cursor)
