"""Events: complete, in order, resumable, and only one's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from fluxprint_common.permissions import Role
from fluxprint_queue.events.repository import LOCK
from support import servers
from support.queue import QueueWorld, code
from support.tokens import bearer

Event = tuple[str, str, dict[str, Any]]


class Stream:
    """An open event stream, read event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def event(self) -> Event:
        """The next event as (id, type, data); comments and the opening are skipped."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    fields[name] = value
                elif not line and "data" in fields:
                    return fields.get("id", ""), fields["event"], json.loads(fields["data"])
        raise AssertionError("the stream has ended")


@asynccontextmanager
async def stream(
    world: QueueWorld, *, after: int | str | None = None, headers: dict[str, str] | None = None, **params: Any
) -> AsyncIterator[Stream]:
    sent = headers or world.headers()
    if after is not None:
        sent = {**sent, "Last-Event-ID": str(after)}
    async with world.http.stream("GET", "/api/v1/events/stream", headers=sent, params=params) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        opened = Stream(answer)
        yield opened


async def types_of(world: QueueWorld) -> list[str]:
    items = (await world.send("GET", "/events", params={"limit": 200})).json()["items"]
    return [item["type"] for item in items]


class TestTable:
    async def test_a_jobs_way_leaves_its_events_in_order(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "completed")
        await world.bed_cleared(printer, attempt)
        assert await types_of(world) == [
            "printer.created",
            "file.created",
            "job.created",
            "attempt.claimed",
            "job.active",
            "attempt.starting",
            "attempt.printing",
            "attempt.completed",
            "job.completed",
            "printer.bed_cleared",
        ]

    async def test_a_refused_change_leaves_none(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        before = await types_of(world)
        assert code(await world.report(attempt, "completed")) == "transition_refused"
        assert await types_of(world) == before

    async def test_pages_follow_each_other_without_a_gap(self, world: QueueWorld) -> None:
        for _ in range(3):
            await world.job()
        found: list[int] = []
        after = 0
        while True:
            page = (await world.send("GET", "/events", params={"after": after, "limit": 2})).json()
            if not page["items"]:
                break
            found += [item["sequence"] for item in page["items"]]
            after = page["next_after"]
        assert len(found) == 6
        assert found == sorted(found)

    async def test_no_number_is_taken_before_the_lock_is_had(
        self, own_world: QueueWorld, database: servers.Database
    ) -> None:
        newest = (
            "SELECT last_value FROM pg_sequences WHERE schemaname = 'queue' AND sequencename = 'event_sequence_seq'"
        )
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        async with servers.connected(database.url) as owner:
            await own_world.job()
            before = await owner.fetchval(newest)
            await owner.execute("SELECT pg_advisory_lock($1)", LOCK)
            writing = asyncio.create_task(own_world.job())
            async with asyncio.timeout(10):
                while not await owner.fetchval(waits):
                    await asyncio.sleep(0.01)
            assert await owner.fetchval(newest) == before
            await owner.execute("SELECT pg_advisory_unlock($1)", LOCK)
            await writing
            assert await owner.fetchval(newest) > before

    async def test_sequences_grow_in_the_order_of_commits(self, world: QueueWorld) -> None:
        """A reader that polls while 30 writers commit never finds an event behind one that it has seen."""
        seen: list[int] = []
        writing = asyncio.gather(*(world.job() for _ in range(30)))

        async def read() -> None:
            after = seen[-1] if seen else 0
            page = (await world.send("GET", "/events", params={"after": after, "limit": 200})).json()
            seen.extend(item["sequence"] for item in page["items"])

        while not writing.done():
            await read()
        await writing
        await read()
        everything = (await world.send("GET", "/events", params={"limit": 200})).json()["items"]
        assert seen == [item["sequence"] for item in everything]
        assert len(seen) == 60


class TestStream:
    async def test_events_arrive_as_they_happen(self, world: QueueWorld) -> None:
        async with stream(world) as events:
            job = await world.job()
            kinds = [await events.event() for _ in range(2)]
            assert [kind for _id, kind, _data in kinds] == ["file.created", "job.created"]
            assert kinds[1][2]["subject"] == job
            assert kinds[1][0] == str(kinds[1][2]["sequence"])

    async def test_it_resumes_after_the_last_seen(self, world: QueueWorld) -> None:
        async with stream(world) as events:
            await world.job()
            seen, _kind, _data = await events.event()
        missed = await world.job()
        async with stream(world, after=seen) as events:
            found = [await events.event() for _ in range(3)]
        assert [kind for _id, kind, _data in found] == ["job.created", "file.created", "job.created"]
        assert found[-1][2]["subject"] == missed

    async def test_a_cursor_from_elsewhere_asks_to_read_anew(self, world: QueueWorld) -> None:
        async with stream(world, after=10**12) as events:
            assert (await events.event())[1] == "stream.reset"
            await world.job()
            assert (await events.event())[1] == "file.created"

    async def test_only_the_types_asked_for(self, world: QueueWorld) -> None:
        async with stream(world, type="job.created") as events:
            await world.job()
            assert (await events.event())[1] == "job.created"

    async def test_another_organisations_events_do_not_exist(self, world: QueueWorld) -> None:
        other = world.neighbour()
        async with stream(other) as events:
            await world.job()
            mine = await other.job()
            assert (await events.event())[1] == "file.created"
            assert (await events.event())[2]["subject"] == mine

    async def test_it_ends_with_its_token(self, world: QueueWorld) -> None:
        token = world.issuer.user_token(organisation=world.organisation, lifetime_s=2)
        async with (
            asyncio.timeout(10),
            world.http.stream("GET", "/api/v1/events/stream", headers=bearer(token)) as answer,
        ):
            assert b"retry: 2000" in await answer.aread()

    async def test_a_client_has_no_events(self, world: QueueWorld) -> None:
        assert code(await world.send("GET", "/events/stream", role=Role.CLIENT)) == "forbidden"
