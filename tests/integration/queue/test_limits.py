"""What one bridge or one person may take, so that something is left for the others."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import bindparam, func, literal, select, text

from fluxprint_common.ids import new_id, show
from fluxprint_common.lookup import CONNECTIONS, Lookup, Lookups
from fluxprint_common.permissions import Role
from fluxprint_common.principal import Principal
from fluxprint_queue.events import feed, stream
from fluxprint_queue.telemetry import hub
from fluxprint_queue.telemetry.hub import TelemetryHub
from support.link import link, telemetry
from support.queue import QueueWorld, code, eventually, queue_app
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer

SLOW = Lookup(select(literal(1).label("one"), func.pg_sleep(bindparam("seconds")).label("slept")))


@asynccontextmanager
async def all_taken(lookups: Lookups) -> AsyncIterator[None]:
    """Every connection of a pool is busy with something that takes long."""
    tasks = [asyncio.create_task(lookups.row(SLOW, seconds=3)) for _ in range(CONNECTIONS)]
    try:
        await asyncio.sleep(0.1)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Limited:
    """A service with limits, and a world at it."""

    def __init__(self, database: Database, issuer: Issuer, auth_url: str, folder: Path, redis_url: str) -> None:
        self._database, self._issuer, self._auth_url = database, issuer, auth_url
        self._folder, self._redis_url = folder, redis_url

    @asynccontextmanager
    async def __call__(self, **changes: object) -> AsyncIterator[tuple[QueueWorld, FastAPI]]:
        app = queue_app(
            self._database,
            self._issuer,
            self._auth_url,
            self._folder,
            redis_url=self._redis_url,
            rate_limits_enabled=True,
            **changes,
        )
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as http:
            yield QueueWorld(http, self._issuer, self._folder), app


@pytest.fixture
def limited(database: Database, issuer: Issuer, auth_url: str, tmp_path: Path, redis_url: str) -> Limited:
    return Limited(database, issuer, auth_url, tmp_path, redis_url)


class TestConnections:
    async def test_bridges_that_poll_take_none_from_people(self, limited: Limited) -> None:
        async with limited() as (world, app):
            printer, job = await world.printer(), await world.job()
            async with all_taken(app.state.database.polls):
                poll = asyncio.create_task(world.call("GET", f"/printers/{printer}/commands"))
                async with asyncio.timeout(1):
                    assert (await world.job_now(job))["state"] == "queued"
                assert not poll.done()
            assert (await poll).status_code == 200

    async def test_people_who_ask_take_none_from_bridges(self, limited: Limited) -> None:
        async with limited() as (world, app):
            printer = await world.printer()
            async with all_taken(app.state.database.lookups), asyncio.timeout(1):
                await world.call("GET", f"/printers/{printer}/commands", expect=200)


def assert_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, code(answer)) == (429, "rate_limited")
    assert 0 < int(answer.headers["retry-after"]) <= 60


class TestBridge:
    async def test_what_it_writes_is_limited_each_kind_by_itself(self, limited: Limited) -> None:
        async with limited(limit_bridge_writes="2/minute") as (world, _app):
            printer, _job = await world.printer(), await world.job()
            attempt = await world.claimed(printer)
            lease = f"/attempts/{attempt['id']}/lease", {"fence": attempt["fence"]}
            foreign = f"/printers/{printer}/foreign-print", {"file_name": "x.gcode"}
            result = f"/commands/{show('command', new_id())}/result", {"state": "failed", "detail": None}
            for path, body in (lease, foreign, result):
                answers = [await world.call("POST", path, json=body) for _ in range(3)]
                assert all(answer.status_code < 429 for answer in answers[:2])
                assert_refused(answers[2])
            released = {"kind": "released", "reason": "bridge_stopping", "report_id": uuid4()}
            answers = [await world.report(attempt, **released) for _ in range(3)]  # type: ignore[arg-type]
            assert [answer.status_code for answer in answers[:2]] == [200, 200]
            assert_refused(answers[2])

    async def test_another_bridge_of_the_organisation_is_not_touched(self, limited: Limited) -> None:
        async with limited(limit_bridge_writes="1/minute") as (world, _app):
            other = world.another_bridge()
            printers = await world.printer("One"), await other.printer("Two")
            body = {"file_name": "x.gcode"}
            await world.call("POST", f"/printers/{printers[0]}/foreign-print", json=body, expect=204)
            assert_refused(await world.call("POST", f"/printers/{printers[0]}/foreign-print", json=body))
            await other.call("POST", f"/printers/{printers[1]}/foreign-print", json=body, expect=204)

    async def test_a_refused_report_has_changed_nothing(self, limited: Limited) -> None:
        async with limited(limit_bridge_writes="1/minute") as (world, app):
            printer, job = await world.printer(), await world.job()
            attempt = await world.printing(printer)
            report_id = uuid4()
            assert_refused(await world.report(attempt, "completed", report_id=report_id))
            assert (await world.job_now(job))["state"] == "active"
            app.state.rate_limiter.enabled = False  # instead of a minute's wait
            assert (await world.report(attempt, "completed", report_id=report_id)).status_code == 200
            assert (await world.job_now(job))["state"] == "completed"

    async def test_fifty_printers_that_say_something_every_second_are_not_limited(self, limited: Limited) -> None:
        async with limited() as (_world, app):
            amount, per = app.state.settings.limit_bridge_writes.split("/")
            assert int(amount) >= 50 * {"second": 1, "minute": 60}[per]


class TestPeople:
    async def test_adding_and_changing_printers_is_limited_for_each_person(self, limited: Limited) -> None:
        async with limited(limit_printers="2/minute") as (world, _app):
            printer = await world.printer()
            etag = (await world.send("GET", f"/printers/{printer}")).headers["etag"]
            headers = {"Content-Type": "application/merge-patch+json", "If-Match": etag}
            await world.send("PATCH", f"/printers/{printer}", content='{"name": "Other"}', headers=headers, expect=200)
            assert_refused(await world.send("PATCH", f"/printers/{printer}", content="{}", headers=headers))
            body = {"name": "Third", "bridge_id": show("bridge", world.bridge)}
            assert_refused(await world.send("POST", "/printers", json=body))
            world.user = new_id()
            await world.send("POST", "/printers", json=body, expect=201)


async def opened(world: QueueWorld, users: Sequence[UUID], closing: AsyncExitStack) -> list[httpx.Response]:
    """The answers to all who ask for a stream at once; the streams stay open until `closing` ends."""

    async def ask(user: UUID) -> httpx.Response:
        request = world.http.build_request("GET", "/api/v1/events/stream", headers=world.headers(user=user))
        answer = await world.http.send(request, stream=True)
        closing.push_async_callback(answer.aclose)
        if answer.is_error:
            await answer.aread()
        return answer

    return list(await asyncio.gather(*(ask(user) for user in users)))


def refused(answers: Sequence[httpx.Response]) -> list[str]:
    return [code(answer) for answer in answers if answer.status_code != 200]


async def streams_of(app: FastAPI, expected: dict[UUID, int]) -> bool:
    """Whether each has just so many places."""
    places = [one.person_id for organisation in app.state.feed._subscribers.values() for one in organisation]
    return Counter(places) == expected


class TestStreams:
    async def test_of_those_who_come_at_once_no_more_are_let_in_than_may(self, limited: Limited) -> None:
        async with limited(streams_per_organisation=3) as (world, _app), AsyncExitStack() as closing:
            answers = await opened(world, [new_id() for _ in range(20)], closing)
            assert refused(answers) == ["too_many_streams"] * 17

    async def test_one_person_does_not_take_all_places(self, limited: Limited) -> None:
        async with (
            limited(streams_per_person=2, streams_per_organisation=4) as (world, app),
            AsyncExitStack() as closing,
        ):
            me, colleague = new_id(), new_id()
            theirs = await opened(world, [colleague] * 2, closing)
            assert refused([*theirs, *await opened(world, [me] * 20, closing)]) == []
            await eventually(lambda: streams_of(app, {me: 2, colleague: 2}))
            assert refused(await opened(world, [new_id()], closing)) == ["too_many_streams"]

    async def test_the_newest_takes_the_place_of_the_same_persons_oldest(self, limited: Limited) -> None:
        async with limited(streams_per_person=2) as (world, _app), AsyncExitStack() as closing:
            (oldest,) = await opened(world, [world.user], closing)
            (second,) = await opened(world, [world.user], closing)
            (newest,) = await opened(world, [world.user], closing)
            async with asyncio.timeout(3):
                told = (await oldest.aread()).decode()
            # A browser that came back at once would take the place back.
            assert told.rstrip().endswith(f"retry: {stream.DISPLACED_RETRY_MS}")
            printer = await world.printer()
            async with asyncio.timeout(3):
                for answer in (second, newest):
                    lines = answer.aiter_lines()
                    while printer not in await anext(lines):
                        pass

    async def test_one_that_lost_its_place_is_cut_where_its_client_takes_nothing(
        self, limited: Limited, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(feed, "CLOSE_WITHIN_S", 0.2)
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)

        async def never(*_message: object) -> Any:
            await asyncio.Event().wait()

        async with limited(streams_per_person=1) as (world, app):
            wanted = stream.StreamRequest(after=None, types=[], with_telemetry=False)
            me = Principal(world.user, world.organisation, Role.EDITOR, new_id(), frozenset(), in_an_hour, in_an_hour)

            def open_one() -> asyncio.Task[None]:
                state = app.state
                answer = stream.EventStream(state.database, state.feed, me, wanted, revocations=state.revocations)
                return asyncio.create_task(answer({"type": "http"}, never, never))

            first = open_one()
            await eventually(lambda: streams_of(app, {world.user: 1}))
            second = open_one()
            async with asyncio.timeout(3):
                await first
            assert await streams_of(app, {world.user: 1})
            assert not second.done()
            second.cancel()
            await asyncio.wait([second])
            assert await streams_of(app, {})

    async def test_a_place_is_free_again_when_its_stream_is_closed(self, limited: Limited) -> None:
        async with limited(streams_per_person=1) as (world, app):
            for _ in range(3):
                async with AsyncExitStack() as closing:
                    assert refused(await opened(world, [world.user], closing)) == []

                async def nobody_there() -> bool:
                    return not app.state.feed._subscribers

                await eventually(nobody_there)


class TestTelemetry:
    async def test_a_printer_that_changes_all_the_time_is_saved_now_and_then(
        self, limited: Limited, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub, "SAVE_APART_S", 0.5)
        saved: list[float] = []
        save = TelemetryHub._save

        async def counted(self: TelemetryHub, printer_ids: Sequence[UUID]) -> None:
            saved.append(asyncio.get_running_loop().time())
            await save(self, printer_ids)

        monkeypatch.setattr(TelemetryHub, "_save", counted)
        async with limited() as (world, app):
            printer = await world.printer()

            async def is_saved() -> bool:
                async with app.state.database.reading() as session:
                    return bool(await session.scalar(text("SELECT telemetry->>'state' FROM queue.printer")) == "paused")

            async with link(world) as socket:
                for number in range(40):
                    await socket.send(json.dumps(telemetry(printer, state=("idle", "printing")[number % 2])))
                    await asyncio.sleep(0.02)
                await socket.send(json.dumps(telemetry(printer, state="paused")))
                await eventually(is_saved)  # what came in a pause comes after it
        assert len(saved) > 1
        assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(saved))
