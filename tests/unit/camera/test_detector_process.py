"""A detector in its process: one that is well, and those that hang, die, lie, print, hoard or can't be made."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from pydantic import JsonValue

from fluxprint_camera.watching.detectors import DetectorRefused
from fluxprint_camera.watching.messages import LENGTH
from fluxprint_camera.watching.process import DetectorFailed, DetectorProcess
from support.camera import Clock
from support.onnx_model import brightness
from support.pictures import black, scene

# What a stranger might install beside the service. The option `does` says what goes wrong.
PLUGIN = """
import os, sys, time

class Odd:
    name, version = "odd", "1.2"

    def __init__(self, options):
        self.does = options["does"]
        if self.does == "refuse":
            raise ValueError("I do not want to")
        print("a detector that talks")

    def score(self, image):
        assert image.mode == "RGB"
        print("on and on")
        match self.does:
            case "hang":
                time.sleep(600)
            case "die":
                os._exit(11)
            case "nan":
                return {"spaghetti": float("nan")}
            case "much":
                return {"spaghetti": 17.0}
            case "hoard":
                self.kept = bytearray(8 * 1024**3)
            case "environment":
                return {name: 0.0 for name in os.environ}
        return {"spaghetti": 0.75, "stringing": image.width / 1000}
"""

Started = Callable[..., DetectorProcess]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> AsyncIterator[Started]:
    (tmp_path / "odd_detector.py").write_text(PLUGIN)
    about = tmp_path / "odd_detector-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-detector\nVersion: 1.2\n")
    (about / "entry_points.txt").write_text("[fluxprint.detectors]\nodd = odd_detector:Odd\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with AsyncExitStack() as stack:

        def make(name: str, *, timeout_s: float = 30, **options: JsonValue) -> DetectorProcess:
            process = DetectorProcess(
                name, options, start_s=60, timeout_s=timeout_s, memory_bytes=4 * 1024**3, clock=clock
            )
            stack.push_async_callback(process.stop)
            return process

        yield make


class TestScores:
    async def test_come_from_a_plug_in_that_says_who_it_is(self, detector: Started) -> None:
        process = detector("odd", does="nothing")
        await process.start()
        assert (process.model, process.model_version, process.health()) == ("odd", "1.2", "ready")
        before = process._process
        for _ in range(3):
            assert await process.score(scene()) == {"spaghetti": 0.75, "stringing": 0.64}
        for broken in (scene()[:500], b"\xff\xd8\xff\xe0 nothing"):
            assert await process.score(broken) == {}
        assert (process.health(), process._process) == ("ready", before)

    async def test_come_from_a_model(self, detector: Started, tmp_path: Path) -> None:
        (tmp_path / "bright.onnx").write_bytes(brightness())
        process = detector("onnx", model=str(tmp_path / "bright.onnx"), labels=["light"])
        await process.start()
        assert process.model == "bright.onnx"
        assert (await process.score(black()))["light"] < 0.1 < (await process.score(scene()))["light"]

    async def test_are_made_without_the_secrets_of_the_service(
        self, detector: Started, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CAMERA_VIEW_TOKEN_SECRET", "b7f0c52d9a3e4816b7f0c52d9a3e4816")
        names = set(await detector("odd", does="environment").score(scene()))
        assert not [name for name in names if name.startswith(("CAMERA_", "FLUXPRINT_", "PG"))]
        assert "PATH" in names


class TestTrouble:
    @pytest.mark.parametrize(
        ("does", "why"),
        [
            ("die", "its process died"),
            ("hoard", "its process died"),
            ("nan", "its answer is none"),
            ("much", "not a score from 0 to 1: spaghetti"),
        ],
    )
    async def test_is_a_failure_that_it_recovers_from(
        self, detector: Started, clock: Clock, does: str, why: str
    ) -> None:
        process = detector("odd", does=does)
        with pytest.raises(DetectorFailed, match=why):
            await process.score(scene())
        assert process.health() == "failing"
        with pytest.raises(DetectorFailed, match="it rests"):
            await process.score(scene())
        process._begin.options["does"] = "nothing"  # the next process is well
        clock.now += 2
        assert (await process.score(scene()))["spaghetti"] == 0.75
        assert process.health() == "ready"

    async def test_a_hang_ends_with_its_process(self, detector: Started) -> None:
        process = detector("odd", does="hang", timeout_s=0.5)
        await process.start()
        assert process._process is not None
        pid = process._process.pid
        with pytest.raises(DetectorFailed, match=r"no answer within 0\.5 s"):
            await process.score(scene())
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    async def test_a_hang_ends_where_nobody_is_there_to_end_it(self, detector: Started) -> None:
        process = detector("odd", does="hang", timeout_s=0.1)
        await process.start()
        running = process._process
        assert running is not None
        assert running.stdin is not None
        picture = scene()
        running.stdin.write(LENGTH.pack(len(picture)) + picture)
        await running.stdin.drain()
        running.stdin.close()
        async with asyncio.timeout(30):
            assert await running.wait() == -signal.SIGALRM

    async def test_pauses_grow(self, detector: Started, clock: Clock) -> None:
        process = detector("odd", does="refuse")
        for pause_s in (1, 2):
            with pytest.raises(DetectorFailed, match="I do not want to"):
                await process.score(scene())
            clock.now += pause_s - 0.1
            with pytest.raises(DetectorFailed, match="it rests"):
                await process.score(scene())
            clock.now += 0.1

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("none-such", "there is no detector named none-such; installed: odd, onnx"),
            ("odd", "odd cannot be made: ValueError"),
            ("onnx", "CAMERA_DETECTOR_OPTIONS: model: Field required"),
        ],
    )
    async def test_is_refused_where_it_cannot_be_made(self, detector: Started, name: str, why: str) -> None:
        options = {"does": "refuse"} if name == "odd" else {}
        with pytest.raises(DetectorRefused, match=why):
            await detector(name, **options).start()
