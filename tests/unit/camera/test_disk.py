"""A disk that hangs: what waits for it is few, leaves in time, and keeps no process from ending."""

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fluxprint_camera.disk import REFUSED, THREADS, Disk, DiskBusy, FilePieces
from fluxprint_camera.recording import store
from fluxprint_camera.recording.settings import MAX_RECORDINGS
from fluxprint_common.ids import new_id

LONG_S = 30.0


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk("tests")
    yield disk
    disk.close()


class Hanging:
    """Work that hangs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self) -> str:
        self.begun.release()
        assert self.released.wait(LONG_S)
        return "done"

    async def fill(self, disk: Disk, threads: int = THREADS) -> list[asyncio.Task[str]]:
        """Have each thread of a disk hang."""
        tasks = [asyncio.create_task(disk.do(self, within_s=LONG_S)) for _ in range(threads)]
        for _ in tasks:
            assert await asyncio.to_thread(self.begun.acquire, timeout=LONG_S)
        return tasks


def refused() -> float:
    return sum(sample.value for metric in REFUSED.collect() for sample in metric.samples if "total" in sample.name)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    hanging = Hanging()
    yield hanging
    hanging.released.set()


class TestDisk:
    async def test_gives_what_is_returned_and_what_is_raised(self, disk: Disk) -> None:
        assert await disk.do(lambda: 7, within_s=LONG_S) == 7
        with pytest.raises(FileNotFoundError):
            await disk.do(Path("/nowhere/at/all").stat, within_s=LONG_S)

    async def test_is_waited_for_by_so_many_and_others_are_refused_and_counted(self, hanging: Hanging) -> None:
        disk = Disk("tests", max_waiting=THREADS + 1)
        tasks, before = await hanging.fill(disk), refused()
        waiting = asyncio.create_task(disk.do(lambda: "late", within_s=LONG_S))
        await asyncio.sleep(0)
        with pytest.raises(DiskBusy):
            await disk.do(lambda: "never", within_s=LONG_S)
        assert refused() == before + 1
        hanging.released.set()
        assert await asyncio.gather(*tasks, waiting) == ["done"] * THREADS + ["late"]
        assert await disk.do(lambda: "again", within_s=LONG_S) == "again"
        disk.close()

    async def test_keeps_nothing_of_what_was_waited_for_in_vain(self, disk: Disk, hanging: Hanging) -> None:
        class Picture:
            """What is to be written."""

        begun: list[str] = []
        await hanging.fill(disk)
        picture = Picture()
        kept = weakref.ref(picture)
        work = partial(lambda _: begun.append("begun"), picture)
        waits = [asyncio.create_task(disk.do(work, within_s=0.01)) for _ in range(3)]
        done, _ = await asyncio.wait(waits)
        assert [type(one.exception()) for one in done] == [TimeoutError] * 3
        del picture, work, waits, done
        gc.collect()
        assert kept() is None
        hanging.released.set()
        await disk.do(lambda: None, within_s=LONG_S)
        assert begun == []  # it would come too late

    async def test_begins_nothing_when_it_is_closed(self, disk: Disk, hanging: Hanging) -> None:
        begun: list[str] = []
        tasks = await hanging.fill(disk)
        waiting = [asyncio.create_task(disk.do(lambda: begun.append("begun"), within_s=LONG_S)) for _ in range(3)]
        await asyncio.sleep(0)
        disk.close()
        hanging.released.set()
        for task in waiting:
            with pytest.raises(OSError, match="stops"):
                await task
        assert (await asyncio.gather(*tasks), begun) == (["done"] * THREADS, [])

    def test_that_hangs_keeps_no_process_from_ending(self) -> None:
        program = (
            "import asyncio, contextlib, time\n"
            "from fluxprint_camera.disk import Disk\n"
            "async def main():\n"
            "    disk = Disk('tests')\n"
            "    with contextlib.suppress(TimeoutError):\n"
            "        await disk.do(lambda: time.sleep(600), within_s=0.05)\n"
            "    disk.close()\n"
            "asyncio.run(main())\n"
        )
        assert subprocess.run([sys.executable, "-c", program], timeout=LONG_S, check=False).returncode == 0


class TestDiskOfRecordings:
    async def test_that_stands_still_is_waited_for_by_all_that_may_run(
        self, hanging: Hanging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "FILE_S", LONG_S)
        recordings = store.Store(tmp_path, reserve_bytes=0)
        await hanging.fill(recordings._disk)
        writes = [asyncio.create_task(recordings.add_picture(new_id(), b"picture")) for _ in range(MAX_RECORDINGS)]
        await asyncio.sleep(0)
        hanging.released.set()
        await asyncio.gather(*writes)
        assert len(list(tmp_path.rglob("*.jpg"))) == MAX_RECORDINGS
        recordings.close()


class TestFilePieces:
    async def test_are_those_of_the_file(self, disk: Disk, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"0123456789")
        pieces = FilePieces(disk, path, path.stat())
        assert [await pieces.read(4), await pieces.read(4), await pieces.read(4)] == [b"0123", b"4567", b"89"]
        assert await pieces.read(4) == b""
        await pieces.seek(3)
        assert await pieces.read(2) == b"34"

    async def test_are_of_one_file_only(self, disk: Disk, tmp_path: Path) -> None:
        path, another = tmp_path / "file", tmp_path / "another"
        path.write_bytes(b"0123456789")
        another.write_bytes(b"abcdefghij")
        pieces = FilePieces(disk, path, path.stat())
        assert await pieces.read(4) == b"0123"
        another.replace(path)
        with pytest.raises(OSError, match="replaced"):
            await pieces.read(4)
