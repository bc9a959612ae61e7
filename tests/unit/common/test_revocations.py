"""The list of what was revoked: bounded, forgetful in time, and kept up to date whatever is away."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest

from fluxprint_common import revocations
from fluxprint_common.ids import new_id
from fluxprint_common.messages import MAX_MESSAGE_BYTES
from fluxprint_common.revocations import Batch, Follower, Revocation, Revocations

NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def a_list(*, capacity: int = 10, clock: Clock | None = None) -> Revocations:
    return Revocations(kept_s=100, capacity=capacity, clock=clock or Clock())


class TestRefusing:
    def test_everything_of_what_has_ended(self) -> None:
        known, sid = a_list(), new_id()
        known.add(Revocation(sid, None))
        assert known.refuse(sid, NOW)
        assert known.refuse(sid, NOW + timedelta(days=1))
        assert not known.refuse(new_id(), NOW)

    def test_only_what_was_made_until_then_of_what_goes_on(self) -> None:
        known, sid = a_list(), new_id()
        known.add(Revocation(sid, NOW + timedelta(milliseconds=400)))
        assert known.refuse(sid, NOW)  # tokens count whole seconds
        assert not known.refuse(sid, NOW + SECOND)

    def test_what_was_refused_once_is_not_believed_again(self) -> None:
        """Messages come twice and in any order."""
        known, sid = a_list(), new_id()
        known.add(Revocation(sid, NOW))
        known.add(Revocation(sid, NOW - SECOND))
        assert known.refuse(sid, NOW)
        known.add(Revocation(sid, None))
        known.add(Revocation(sid, NOW))
        assert known.refuse(sid, NOW + SECOND)

    def test_lasts_as_long_as_a_token_could(self) -> None:
        clock = Clock()
        known, sid = a_list(clock=clock), new_id()
        known.add(Revocation(sid, None))
        clock.now = 99.0
        known.add(Revocation(new_id(), None))
        assert known.refuse(sid, NOW)
        clock.now = 101.0
        known.add(Revocation(new_id(), None))
        assert len(known) == 2
        assert not known.refuse(sid, NOW)

    def test_a_full_list_forgets_the_oldest(self) -> None:
        known, sids = a_list(capacity=3), [new_id() for _ in range(4)]
        for sid in sids:
            known.add(Revocation(sid, None))
        assert [known.refuse(sid, NOW) for sid in sids] == [False, True, True, True]


class TestWatching:
    def test_is_told_once_its_token_is_refused(self) -> None:
        known, sid, ended = a_list(), new_id(), []
        with known.watching(sid, NOW, lambda: ended.append(1)):
            known.add(Revocation(new_id(), None))
            known.add(Revocation(sid, NOW - SECOND))
            assert ended == []
            known.add(Revocation(sid, NOW))
            assert ended == [1]

    def test_is_told_though_another_one_fails(self) -> None:
        known, sid, ended = a_list(), new_id(), []

        def fail() -> None:
            raise RuntimeError

        with known.watching(sid, NOW, fail), known.watching(sid, NOW, lambda: ended.append(1)):
            known.add(Revocation(sid, None))
        assert ended == [1]

    def test_is_told_at_once_where_it_came_too_late(self) -> None:
        known, sid, ended = a_list(), new_id(), []
        known.add(Revocation(sid, None))
        with known.watching(sid, NOW, lambda: ended.append(1)):
            assert ended == [1]

    def test_is_told_nothing_after_its_end_and_leaves_nothing_behind(self) -> None:
        known, sid, ended = a_list(), new_id(), []
        with known.watching(sid, NOW, lambda: ended.append(1)), known.watching(sid, NOW, lambda: ended.append(2)):
            pass
        known.add(Revocation(sid, None))
        assert ended == []
        assert known._watching == {}

    def test_of_the_same_twice_is_told_once_and_leaves_nothing_behind(self) -> None:
        known, sid, other, ended = a_list(), new_id(), new_id(), []
        with known.watching(sid, NOW, lambda: ended.append(1), other, sid, other):
            known.add(Revocation(other, None))
            assert ended == [1]
        assert known._watching == {}


class Table:
    """A source that tells rows again until they are settled, as auth does."""

    def __init__(self, *, page: int = 2) -> None:
        self.rows: list[UUID] = []
        self.settled = 0
        self.away = False
        self.asked: list[int] = []
        self._page = page

    async def __call__(self, after: int) -> Batch:
        self.asked.append(after)
        if self.away:
            raise httpx.ConnectError("away")
        rows = self.rows[after : after + self._page]
        more = len(rows) == self._page
        return Batch(
            [Revocation(sid, None) for sid in rows], after=after + len(rows) if more else self.settled, more=more
        )


def refused(known: Revocations, sids: Sequence[UUID]) -> list[bool]:
    return [known.refuse(sid, NOW) for sid in sids]


class TestFollowing:
    async def test_reads_every_page(self) -> None:
        known, table = a_list(), Table()
        table.rows = [new_id() for _ in range(5)]
        assert await Follower(known, table).ask()
        assert refused(known, table.rows) == [True] * 5
        assert table.asked == [0, 2, 4]

    async def test_a_row_that_came_late_is_seen_the_next_time(self) -> None:
        known, table = a_list(), Table(page=10)
        table.rows = [new_id(), new_id()]
        follower = Follower(known, table)
        await follower.ask()
        late = new_id()
        table.rows.insert(1, late)  # its transaction was slower
        await follower.ask()
        assert known.refuse(late, NOW)

    async def test_what_is_known_goes_on_while_the_source_is_away(self) -> None:
        known, table = a_list(), Table()
        table.rows = [new_id()]
        follower = Follower(known, table)
        await follower.ask()
        table.away = True
        assert not await follower.ask()
        assert refused(known, table.rows) == [True]
        table.away = False
        table.rows.append(new_id())
        assert await follower.ask()
        assert refused(known, table.rows) == [True, True]

    async def test_until_the_first_answer_it_asks_more_often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(revocations, "RETRY_S", 0.001)
        known, table = a_list(), Table()
        table.away = True
        running = asyncio.create_task(Follower(known, table).run(interval_s=30))
        async with asyncio.timeout(5):
            while len(table.asked) < 3:
                await asyncio.sleep(0.001)
        running.cancel()

    async def test_a_database_that_was_restored_is_read_from_its_own_position(self) -> None:
        known, table = a_list(), Table(page=10)
        table.rows, table.settled = [new_id() for _ in range(3)], 3
        follower = Follower(known, table)
        await follower.ask()
        table.rows, table.settled = [new_id()], 0
        await follower.ask()
        await follower.ask()
        assert refused(known, table.rows) == [True]


class TestMessages:
    def test_are_read_as_they_are_written(self) -> None:
        sent = [Revocation(new_id(), None), Revocation(new_id(), NOW)]
        assert revocations.parse(json.loads(json.dumps(revocations.message(sent)))) == sent

    def test_of_the_largest_number_fit_a_doorbell(self) -> None:
        sent = [Revocation(new_id(), NOW + timedelta(microseconds=1)) for _ in range(500)]
        assert len(json.dumps(revocations.message(sent))) < MAX_MESSAGE_BYTES

    @pytest.mark.parametrize(
        "document",
        [
            {},
            {"revocations": None},
            {"revocations": ["x"]},
            {"revocations": [{"sid": "x", "before": None}]},
            {"revocations": [{"sid": new_id().hex}]},
            {"revocations": [{"sid": 7, "before": None}]},
            {"revocations": [{"sid": new_id().hex, "before": "soon"}]},
            {"revocations": [{"sid": new_id().hex, "before": 1e300}]},
        ],
    )
    async def test_of_another_shape_are_dropped(self, document: dict[str, object]) -> None:
        known = a_list()
        await Follower(known, Table()).hear("channel", document)
        assert len(known) == 0

    async def test_come_from_where_the_keys_are(self) -> None:
        asked: list[httpx.URL] = []

        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request.url)
            return httpx.Response(200, json={"revocations": [], "after": 7, "more": False})

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            batch = await revocations.over_http(http, "http://auth:8001/api/v1/auth/jwks")(5)
        assert batch == Batch([], after=7, more=False)
        assert asked == [httpx.URL("http://auth:8001/internal/revocations?after=5")]
