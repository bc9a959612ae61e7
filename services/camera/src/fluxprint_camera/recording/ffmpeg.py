"""One run of ffmpeg: frames in a folder become a video, within bounds of time, memory and size."""

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import imageio_ffmpeg

from fluxprint_camera.recording.problems import Trouble
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

NICENESS = 19
#: Of address space, of which it uses a tenth; pictures come from outside, and one of them may ask for anything.
MEMORY_BYTES = 4 * 1024**3
SAID_CHARS = 2000
#: What is aimed at of the bytes that a video may have: its index needs some too, and the encoder misses a little.
FILLED = 0.8
#: It refuses a larger number.
MAX_BITS_PER_S = 2**31 - 1

OnProgress = Callable[[int], None]


class RenderFailed(Exception):
    """There is no video.

    Attributes:
        killed: ffmpeg was ended from outside: another time it may come through.
    """

    def __init__(self, trouble: Trouble, said: str, *, killed: bool = False) -> None:
        super().__init__(f"{trouble}: {said}")
        self.trouble = trouble
        self.killed = killed


@dataclass(frozen=True)
class Mounting:
    """What makes a picture upright: the flips first, then the turn, in degrees clockwise."""

    rotate: int = 0
    flip_h: bool = False
    flip_v: bool = False


@dataclass(frozen=True)
class Film:
    """What is to become of the frames.

    Attributes:
        width_px, height_px: of the frames as the video has them, before they are turned; both even.
        max_bytes: the video ends where it would become larger.
        max_bits_per_s: quality goes down where it would take more; None: it is the same for all pictures.
    """

    fps: int
    width_px: int
    height_px: int
    max_bytes: int
    mounting: Mounting = Mounting()
    max_bits_per_s: int | None = None

    def squeezed(self, frames: int) -> "Film":
        """The same at the quality at which so many frames fit."""
        fitting_rate = int(FILLED * 8 * self.max_bytes * self.fps / max(frames, 1))
        return replace(self, max_bits_per_s=min(fitting_rate, MAX_BITS_PER_S))


def fitting(width_px: int, height_px: int, *, max_width_px: int) -> tuple[int, int]:
    """The size of a video of such pictures: not wider, of the same shape, and even as H.264 with 4:2:0 needs it."""
    scale = min(1.0, max_width_px / width_px)
    return max(2, int(width_px * scale) // 2 * 2), max(2, int(height_px * scale) // 2 * 2)


def command(program: str, film: Film, video: Path) -> list[str]:
    """The command line, to be run in the folder of the frames."""
    return [
        program, "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
        # What the files are is said, not guessed: they come from outside.
        "-f", "image2", "-pattern_type", "glob", "-framerate", str(film.fps), "-c:v", "mjpeg", "-threads", "1",
        "-i", "*.jpg",
        "-vf", ",".join(_filters(film)), "-filter_threads", "1",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", *_rate(film), "-threads", "1",
        "-fs", str(film.max_bytes), "-movflags", "+faststart", "-f", "mp4",
        "-nostats", "-progress", "pipe:1", str(video),
    ]  # fmt: skip


def _rate(film: Film) -> Sequence[str]:
    if film.max_bits_per_s is None:
        return []
    return ["-maxrate", str(film.max_bits_per_s), "-bufsize", str(film.max_bits_per_s)]


def _filters(film: Film) -> Sequence[str]:
    mounting = film.mounting
    turns = {90: ["transpose=clock"], 180: ["hflip", "vflip"], 270: ["transpose=cclock"]}
    return [
        # Every frame in the size of the first: a camera may change its own in the middle.
        f"scale={film.width_px}:{film.height_px}:out_range=tv",
        *(["hflip"] if mounting.flip_h else []),
        *(["vflip"] if mounting.flip_v else []),
        *turns.get(mounting.rotate, []),
        "setsar=1",
        "format=yuv420p",
    ]


async def render(
    program: str | None, folder: Path, film: Film, video: Path, *, timeout_s: float, on_progress: OnProgress
) -> int:
    """Make `video` of the frames in `folder`, at the lowest priority; how many frames it has.

    Args:
        program: another ffmpeg than the installed one.
        on_progress: told how many frames are done, now and then.

    Raises:
        RenderFailed
    """
    if program is None:
        program = str(await asyncio.to_thread(imageio_ffmpeg.get_ffmpeg_exe))
    try:
        process = await asyncio.create_subprocess_exec(
            *_ends_with_us(),
            *command(program, film, video),
            cwd=folder,
            env={},  # it has no use for our secrets
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise RenderFailed(Trouble.RENDER_FAILED, str(error)) from error
    try:
        _bound(process.pid)
        async with asyncio.timeout(timeout_s):
            frames, said, status = await asyncio.gather(
                _follow(process.stdout, on_progress), _tail(process.stderr), process.wait()
            )
    except TimeoutError:
        raise RenderFailed(Trouble.RENDER_TIMEOUT, f"not done after {timeout_s:g} s") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if status != 0 or not frames:
        full = "No space left" in said or "Disk quota" in said
        trouble = Trouble.DISK_FULL if full else Trouble.RENDER_FAILED
        raise RenderFailed(trouble, said or f"status {status}", killed=status < 0)
    return frames


def _ends_with_us() -> list[str]:
    """What stands before a command that must not outlive this process, however that ends, where the system has it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv is not None else []


def _bound(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
        if sys.platform == "linux":
            resource.prlimit(pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
            with suppress(OSError):  # where memory runs out, it is this that ends, not what shows live pictures
                Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


async def _follow(lines: asyncio.StreamReader | None, on_progress: OnProgress) -> int:
    frames = 0
    while lines is not None and (line := await lines.readline()):
        name, _, value = line.decode(errors="replace").strip().partition("=")
        if name == "frame" and value.strip().isdigit():
            frames = int(value)
            on_progress(frames)
    return frames


async def _tail(lines: asyncio.StreamReader | None) -> str:
    said = ""
    while lines is not None and (data := await lines.read(4096)):
        said = (said + data.decode(errors="replace"))[-SAID_CHARS:]
    return said.strip()
