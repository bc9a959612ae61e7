"""Pictures that this service makes: smaller ones, and those that say why there is none. Off the event loop."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import IntEnum
from functools import partial
from uuid import UUID
from weakref import WeakKeyDictionary

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.status import BRIDGE_OFFLINE, NO_PICTURES
from fluxprint_camera.relay.unpacking import Unreadable
from fluxprint_common.problems import Unavailable

MAX_WAITING = 32
MAX_WAITING_OF_ORGANISATION = 8
TIMEOUT_S = 10.0
_SOMETHING_ELSE = "The camera gives no pictures"
_TEXTS = {
    BRIDGE_OFFLINE: "The bridge is not connected",
    NO_PICTURES: "The camera sends no pictures",
    "frozen": "The camera hangs: no whole picture comes",
    "unreachable": "The camera cannot be reached",
    "refused": "The camera answers with an error",
    "not_a_camera": "What answers at its address is no camera",
    "truncated": "The camera sends broken pictures",
    "closed": "The camera ends the connection",
    "too_large": "The camera's pictures are too large",
}


class Width(IntEnum):
    """Widths in pixels that a picture can be had in."""

    W160 = 160
    W320 = 320
    W480 = 480
    W640 = 640
    W960 = 960
    W1280 = 1280
    W1920 = 1920


class PicturesBusy(Unavailable):
    """Too many pictures are being made smaller; try again in a moment, or ask without a width"""

    code = "pictures_busy"


class PictureUnreadable(Unavailable):
    """This picture of the camera cannot be made smaller; ask without a width, or for the next one"""

    code = "picture_unreadable"


class Pictures:
    """Makes pictures one after the other in a thread, each once however many ask for it. Those of its own wait for
    nobody's: streams show them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")
        self._writers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="placards")
        self._narrowed: WeakKeyDictionary[Frame, dict[Width, asyncio.Future[bytes]]] = WeakKeyDictionary()
        self._placards: dict[str, asyncio.Future[Frame]] = {}
        #: How many wait, by the organisation.
        self._waiting: Counter[UUID] = Counter()

    def has(self, frame: Frame, width: Width) -> bool:
        """Whether a frame's picture was made in this width, or is about to be."""
        return width in self._narrowed.get(frame, {})

    async def narrowed(self, frame: Frame, width: Width, *, organisation_id: UUID) -> bytes:
        """A frame's picture, not wider than `width` pixels.

        Raises:
            PicturesBusy: too many wait, of all or of the organisation. PictureUnreadable: it is no picture.
        """
        made = self._narrowed.setdefault(frame, {})
        if width not in made:
            made[width] = self._start(partial(_narrow, frame.jpeg, width), organisation_id)
        return await self._result(made[width])

    async def placard(self, reason: str) -> Frame:
        """A picture that says why there is none."""
        text = _TEXTS.get(reason, _SOMETHING_ELSE)
        if text not in self._placards:
            made = asyncio.get_running_loop().run_in_executor(self._writers, _placard, text)
            made.add_done_callback(partial(self._keep_or_forget, text))
            self._placards[text] = made
        return await asyncio.shield(self._placards[text])

    def close(self) -> None:
        """Forget what is not begun."""
        for pool in (self._pool, self._writers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _keep_or_forget(self, text: str, made: asyncio.Future[Frame]) -> None:
        if made.cancelled() or made.exception() is not None:
            del self._placards[text]  # the next one who asks has it made anew

    def _start(self, make: Callable[[], bytes], organisation_id: UUID) -> asyncio.Future[bytes]:
        of_organisation = self._waiting[organisation_id]
        if self._waiting.total() >= MAX_WAITING or of_organisation >= MAX_WAITING_OF_ORGANISATION:
            raise PicturesBusy
        self._waiting[organisation_id] += 1
        made = asyncio.get_running_loop().run_in_executor(self._pool, make)
        made.add_done_callback(partial(self._done, organisation_id))
        return made

    def _done(self, organisation_id: UUID, made: asyncio.Future[bytes]) -> None:
        self._waiting[organisation_id] -= 1
        if not self._waiting[organisation_id]:
            del self._waiting[organisation_id]
        if not made.cancelled():
            made.exception()  # whoever asked may be gone

    async def _result(self, made: asyncio.Future[bytes]) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.shield(made)  # others may wait for the same
        except TimeoutError:
            raise PicturesBusy from None
        except Unreadable as error:
            raise PictureUnreadable from error


def _narrow(jpeg: memoryview, width: int) -> bytes:
    from fluxprint_camera.viewers import drawing  # noqa: PLC0415  (Pillow: 4 MB that most relays do without)

    return drawing.narrow(jpeg, width)


def _placard(text: str) -> Frame:
    from fluxprint_camera.viewers import drawing  # noqa: PLC0415

    return Frame.of(drawing.write(text), sequence=0, captured_at=datetime.now(UTC))
