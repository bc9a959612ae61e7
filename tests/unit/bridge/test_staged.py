"""The journal's page of staged files: whose a file is, and when it may go."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from fluxprint_bridge.journal import DAY_S, KEPT_DAYS, Journal, Step
from fluxprint_bridge.staged import Shelf, StagedFile

PRINTER = "printer_1"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as journal:
        yield journal


@pytest.fixture
def shelf(journal: Journal) -> Shelf:
    return Shelf(journal, PRINTER)


def file(attempt_id: str = "attempt_1") -> StagedFile:
    return StagedFile(attempt_id, f"p/{attempt_id}.gcode", sha256="a" * 64, size_bytes=5)


async def claimed(journal: Journal, attempt_id: str = "attempt_1") -> None:
    await journal.hold(
        attempt_id=attempt_id, printer_id=PRINTER, fence=1, path="p", state=Step.CLAIMED, shown="claimed"
    )


class TestShelf:
    async def test_it_holds_one_file_for_a_printer(self, journal: Journal, shelf: Shelf) -> None:
        await shelf.put(file())
        await shelf.whole("attempt_1", sha1="b" * 40)
        found = await shelf.file()
        assert found is not None
        assert (found.attempt_id, found.sha1) == ("attempt_1", "b" * 40)
        assert await Shelf(journal, "printer_2").file() is None

    async def test_what_was_claimed_waits_no_more_and_is_still_known(self, journal: Journal, shelf: Shelf) -> None:
        await shelf.put(file())
        await claimed(journal)
        assert await shelf.file() is None
        assert await shelf.of_attempt("attempt_1") is not None
        await shelf.put(file("attempt_2"))
        assert await shelf.of_attempt("attempt_1") is None

    async def test_what_a_killed_process_left_half_done_is_to_be_removed(self, tmp_path: Path) -> None:
        async with Journal(tmp_path) as journal:
            await Shelf(journal, PRINTER).put(file())
        async with Journal(tmp_path) as journal:
            shelf = Shelf(journal, PRINTER)
            await shelf.discard_cut()
            assert await shelf.file() is None
            assert await shelf.unwanted() == [replace(file(), unwanted=True)]
            await shelf.put(file("attempt_2"))

    async def test_what_is_whole_outlives_the_process(self, tmp_path: Path) -> None:
        async with Journal(tmp_path) as journal:
            await Shelf(journal, PRINTER).put(file())
            await Shelf(journal, PRINTER).whole("attempt_1", sha1="b" * 40)
        async with Journal(tmp_path) as journal:
            shelf = Shelf(journal, PRINTER)
            await shelf.discard_cut()
            assert await shelf.file() is not None


class TestForgetting:
    @pytest.mark.parametrize("restarted", [True, False], ids=["at a start", "while it runs"])
    async def test_the_page_forgets_with_the_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool
    ) -> None:
        """Else it would look as if nobody had claimed it, so as if somebody had printed it by hand."""
        async with AsyncExitStack() as stack:
            journal = await stack.enter_async_context(Journal(tmp_path))
            await Shelf(journal, PRINTER).put(file())
            await claimed(journal)
            await journal.end("attempt_1")
            much_later = time.time() + (KEPT_DAYS + 1) * DAY_S
            monkeypatch.setattr(time, "time", lambda: much_later)
            if restarted:
                await stack.aclose()
                journal = await stack.enter_async_context(Journal(tmp_path))
            else:
                await claimed(journal, "attempt_2")
            assert await journal.attempt("attempt_1") is None
            assert await Shelf(journal, PRINTER).unclaimed() == []


class TestPast:
    async def test_an_attempt_is_over_when_the_queue_knows_its_end(self, journal: Journal, shelf: Shelf) -> None:
        async def is_over() -> bool:
            past = await shelf.past("attempt_1")
            assert past is not None
            return past.is_over

        await claimed(journal)
        assert not await is_over()
        await journal.report("attempt_1", "unknown")
        assert not await is_over()
        await journal.report("attempt_1", "completed")
        assert not await is_over()  # not acknowledged
        while (report := await journal.next_report(PRINTER)) is not None:
            await journal.delivered(report.id)
        assert await is_over()

    async def test_what_is_staged_is_not_over_and_what_nobody_knows_is_nothing(self, shelf: Shelf) -> None:
        await shelf.put(file())
        past = await shelf.past("attempt_1")
        assert past is not None
        assert not past.is_over
        assert await shelf.past("attempt_2") is None
