"""The detector's process, seen from the service: started again when it hangs, dies or answers nonsense."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from fluxprint_camera.watching.detectors import DetectorRefused
from fluxprint_camera.watching.messages import LENGTH, MAX_BYTES, Begin, Ready, Scores
from fluxprint_common.health import FAILING
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MIN_PAUSE_S = 1.0
MAX_PAUSE_S = 60.0
STOP_S = 2.0
#: What of the environment the process gets: a model that somebody brought needs no secret of ours.
KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")

M = TypeVar("M", bound=BaseModel)


class DetectorFailed(Exception):
    """No scores this time; it is started again."""


class DetectorProcess:
    """Scores one picture at a time.

    Attributes:
        model, model_version: what the detector says of itself.

    Args:
        start_s, timeout_s: how long it may take to be ready, and for one picture.
        memory_bytes: of address space; past it the process fails, and nothing else.
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, JsonValue],
        *,
        start_s: float,
        timeout_s: float,
        memory_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = ""
        self.model_version = ""
        self._begin = Begin(detector=name, options=dict(options), start_s=start_s, timeout_s=timeout_s)
        self._start_s = start_s
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._failures = 0
        self._again_at = 0.0

    def health(self) -> str:
        """For the service's health."""
        return FAILING if self._failures else "ready"

    async def start(self) -> None:
        """Start the process and wait until it is ready.

        Raises:
            DetectorRefused: it can't be used as it is configured. DetectorFailed: it died or took too long.
        """
        environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "fluxprint_camera.watching.worker",
            str(self._memory_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the service's terminal is not meant for it
        )
        try:
            ready = await self._ask(self._begin.model_dump_json().encode(), Ready, timeout_s=self._start_s)
        except DetectorFailed:
            await self.stop()
            raise
        if ready.refused is not None:
            await self.stop()
            raise DetectorRefused(ready.refused)
        self.model, self.model_version = ready.name, ready.version
        log.info("detector_ready", model=self.model, version=self.model_version)

    async def score(self, jpeg: bytes) -> Mapping[str, float]:
        """How sure the detector is of each kind of failure, 0 to 1.

        Raises:
            DetectorFailed: it hung, died, or said something that is no score; or that was so recently that it rests.
        """
        if self._clock() < self._again_at:
            raise DetectorFailed("it rests")
        try:
            if self._process is None:
                await self.start()
            found = (await self._ask(jpeg, Scores, timeout_s=self._timeout_s)).scores
            if wrong := [label for label, score in found.items() if not 0 <= score <= 1 or len(label) > 100]:
                raise DetectorFailed(f"not a score from 0 to 1: {wrong[0][:100]}")
        except (DetectorFailed, DetectorRefused, OSError) as error:
            await self._fail(error)
            raise DetectorFailed(str(error)) from error
        except asyncio.CancelledError:
            await self.stop()  # its answer would be taken for the next picture's
            raise
        self._failures = 0
        return found

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()

    async def _fail(self, error: Exception) -> None:
        await self.stop()
        self._failures += 1
        pause_s = min(MAX_PAUSE_S, MIN_PAUSE_S * 2 ** min(self._failures - 1, 10))
        self._again_at = self._clock() + pause_s
        log.warning("detector_failed", error=str(error), again_in_s=pause_s)

    async def _ask(self, data: bytes, answer_type: type[M], *, timeout_s: float) -> M:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise DetectorFailed("it is not there")
        try:
            async with asyncio.timeout(timeout_s):
                process.stdin.write(LENGTH.pack(len(data)) + data)
                await process.stdin.drain()
                size = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))[0]
                if size > MAX_BYTES:
                    raise DetectorFailed("its answer is too long")
                return answer_type.model_validate_json(await process.stdout.readexactly(size))
        except TimeoutError:
            raise DetectorFailed(f"no answer within {timeout_s:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise DetectorFailed("its process died") from None
        except ValidationError:
            raise DetectorFailed("its answer is none") from None
