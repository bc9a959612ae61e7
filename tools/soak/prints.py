"""Prints, one after the other, that the cameras record: frames, pictures and videos all the time."""

import asyncio
from collections import Counter
from contextlib import suppress

from tools.bench.system import Json, Workshop
from tools.chaos.plan import gcode
from tools.chaos.run import OVER

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

    Attributes:
        ended: how many did, by their job's state.
    """

    def __init__(self, workshop: Workshop) -> None:
        self.ended: Counter[str] = Counter()
        self._workshop = workshop

    async def go_on(self) -> None:
        """Print for ever."""
        while True:
            file = await self._workshop.upload(gcode(f"soak {self.ended.total()}", PRINT_S))
            self.ended[await self._until_over(await self._workshop.queue(file))] += 1

    async def _until_over(self, job: str) -> str:
        """Do about a job what a person does: decide what is unknown, take off what lies on the bed."""
        while True:
            await asyncio.sleep(POLL_S)
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
