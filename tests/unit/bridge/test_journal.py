"""The journal: what was written is there after kill -9, and one process at a time writes."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_bridge.journal import MAX_EVIDENCE_BYTES, Attempt, Journal, JournalInUse, Step
from fluxprint_bridge.octoprint.outcome import Sightings

PRINTER = "printer_1"


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    async with Journal(tmp_path) as journal:
        yield journal


async def hold(
    journal: Journal, attempt_id: str = "attempt_1", *, fence: int = 1, state: Step = Step.CLAIMED
) -> Attempt:
    return await journal.hold(
        attempt_id=attempt_id, printer_id=PRINTER, fence=fence, path=f"p/{attempt_id}", state=state, shown="claimed"
    )


class TestAttempts:
    async def test_a_known_attempt_keeps_its_state_and_takes_the_new_fence(self, journal: Journal) -> None:
        await hold(journal)
        await journal.intend("attempt_1")
        adopted = await hold(journal, fence=7)
        assert (adopted.fence, adopted.state) == (7, Step.STARTING)

    async def test_an_ended_attempt_that_lives_on_in_the_queue_is_looked_at(self, journal: Journal) -> None:
        await hold(journal)
        await journal.end("attempt_1")
        assert (await hold(journal, fence=2, state=Step.STARTING)).state is Step.STARTING

    async def test_one_attempt_is_open_at_a_time(self, journal: Journal) -> None:
        await hold(journal)
        await hold(journal, "attempt_2")
        opened = await journal.open_attempt(PRINTER)
        assert opened is not None
        assert opened.id == "attempt_2"

    async def test_what_was_seen_is_kept(self, journal: Journal) -> None:
        await hold(journal)
        await journal.saw("attempt_1", Sightings(started=True, done=True, done_time_s=2.5))
        kept = await journal.attempt("attempt_1")
        assert kept is not None
        assert kept.seen == Sightings(started=True, done=True, done_time_s=2.5)


class TestReports:
    async def test_in_order_until_delivered_with_the_newest_fence(self, journal: Journal) -> None:
        await hold(journal)
        await journal.report("attempt_1", "started")
        ended = await journal.report("attempt_1", "failed", reason="octoprint_error", evidence={"a": 1})
        assert (ended.state, ended.shown) == (Step.ENDED, "failed")
        await hold(journal, fence=9)
        first = await journal.next_report(PRINTER)
        assert first is not None
        assert (first.kind, first.fence) == ("started", 9)
        await journal.delivered(first.id)
        second = await journal.next_report(PRINTER)
        assert second is not None
        assert (second.kind, second.reason, second.evidence) == ("failed", "octoprint_error", {"a": 1})
        await journal.delivered(second.id, refused="attempt_ended")
        assert await journal.next_report(PRINTER) is None

    async def test_no_word_of_a_printer_keeps_a_report_from_its_journey(self, journal: Journal) -> None:
        await hold(journal)
        deep: object = "end"
        for _ in range(20):
            deep = [deep]
        evidence = {"nul\x00": "a\x00b\ud800c\x1b", "nan": float("nan"), "deep": deep}
        await journal.report("attempt_1", "failed", detail="Error:\x00\udfff!", evidence=evidence)
        report = await journal.next_report(PRINTER)
        assert report is not None
        assert report.detail == "Error:  !"
        assert report.evidence["nul "] == "a b c "
        assert report.evidence["nan"] is None
        assert str(report.evidence["deep"]).count("[") <= 8

    async def test_evidence_is_bounded(self, journal: Journal) -> None:
        await hold(journal)
        await journal.report("attempt_1", "unknown", evidence={"log": "x" * 10 * MAX_EVIDENCE_BYTES})
        report = await journal.next_report(PRINTER)
        assert report is not None
        assert report.evidence["cut"] is True
        assert len(str(report.evidence)) < MAX_EVIDENCE_BYTES


class TestDurability:
    WRITER = """
import asyncio, sys
from pathlib import Path
from fluxprint_bridge.journal import Journal, Step

async def main():
    async with Journal(Path(sys.argv[1])) as journal:
        print(journal.journal_id, flush=True)
        for number in range(100_000):
            await journal.hold(attempt_id=f"attempt_{number}", printer_id="printer_1", fence=number, path="p",
                               state=Step.CLAIMED, shown="claimed")
            await journal.intend(f"attempt_{number}")
            print(number, flush=True)

asyncio.run(main())
"""

    async def test_nothing_that_was_acknowledged_is_lost_by_a_kill(self, tmp_path: Path) -> None:
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", self.WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert writer.stdout is not None
        journal_id = (await writer.stdout.readline()).decode().strip()
        for _ in range(20):
            await writer.stdout.readline()
        with pytest.raises(JournalInUse):
            await Journal(tmp_path).__aenter__()
        writer.kill()
        rest = (await writer.stdout.read()).split()
        await writer.wait()
        last = int(rest[-1]) if rest else 19
        async with Journal(tmp_path) as journal:
            assert journal.journal_id == journal_id
            acknowledged = await journal.attempt(f"attempt_{last}")
            assert acknowledged is not None
            opened = await journal.open_attempt(PRINTER)
        assert opened is not None
        assert int(opened.id.rpartition("_")[2]) >= last
        assert acknowledged.state is (Step.STARTING if opened.id == acknowledged.id else Step.ENDED)
