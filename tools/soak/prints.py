"""Prints, one after the other, that the cameras record: frames, pictures and videos all the time."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import httpx

from tools.bench.system import Json, Workshop
from tools.chaos.plan import gcode
from tools.chaos.run import OVER

T = TypeVar("T")

PRINT_S = 15.0
POLL_S = 0.5
#: The last videos are made by then, one at a time.
RENDERED_WITHIN_S = 120.0
#: Of the service: a frame of each camera every half second, so that there is a video to make of every print.
RECORDING = {
    "CAMERA_TIMELAPSE_FRAME_BY": "interval",
    "CAMERA_TIMELAPSE_INTERVAL_S": "0.5",
    "CAMERA_RECORDING_FPS": "2",
}


class Prints:
    """Prints at one printer.

    Args:
        troubles: where requests that failed are counted.

    Attributes:
        ended: how many did, by their job's state.
    """

    def __init__(self, workshop: Workshop, troubles: Counter[str]) -> None:
        self.ended: Counter[str] = Counter()
        self._workshop = workshop
        self._troubles = troubles

    async def go_on(self) -> None:
        """Print for ever."""
        while True:
            file = await self._insist(partial(self._workshop.upload, gcode(f"soak {self.ended.total()}", PRINT_S)))
            job = await self._insist(partial(self._queue, file, secrets.token_hex()))
            while (state := await self._insist(partial(self._look_after, job))) is None:
                await asyncio.sleep(POLL_S)
            self.ended[state] += 1

    async def _insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Do something until it succeeds: what fails on the way is counted."""
        while True:
            try:
                return await act()
            except (RuntimeError, httpx.HTTPError):
                self._troubles["request about a print failed"] += 1
                await asyncio.sleep(POLL_S)

    async def _queue(self, file: str, key: str) -> str:
        """One job, however often it is asked for with this key: a second one would lie on the bed for ever."""
        headers = {"Idempotency-Key": key}
        return str((await self._workshop.send("POST", "/jobs", json={"file_id": file}, headers=headers))["id"])

    async def _look_after(self, job: str) -> str | None:
        """Do about a job what a person does: decide what is unknown, take off what lies on the bed. Its state, once it
        is over and the bed is clear."""
        state = str((await self._workshop.send("GET", f"/jobs/{job}"))["state"])
        bed = await self._workshop.bed()
        if state in OVER and bed["state"] == "clear":
            return state
        with suppress(RuntimeError):  # refused: it prints on, or has changed meanwhile
            for attempt in (await self._workshop.send("GET", f"/jobs/{job}/attempts"))["items"]:
                if attempt["state"] == "unknown":
                    resolved = {"outcome": "printed"}
                    await self._workshop.send("POST", f"/attempts/{attempt['id']}/resolve", json=resolved)
            if state in OVER:
                await self._workshop.confirm_clear(bed)
        return None

    async def recorded(self) -> Counter[str]:
        """How many timelapses there are, by their state, once none waits to be rendered any more."""
        async with asyncio.timeout(RENDERED_WITHIN_S):
            while (states := await self._states())["rendering"]:
                await asyncio.sleep(POLL_S)
        return states

    async def _states(self) -> Counter[str]:
        states, cursor = Counter[str](), None
        while True:
            params: Json = {"limit": 100, **({"cursor": cursor} if cursor else {})}
            page = await self._workshop.send("GET", "/cameras/timelapses", params=params)
            states.update(item["state"] for item in page["items"])
            if (cursor := page["next_cursor"]) is None:
                return states
