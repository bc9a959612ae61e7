"""The bridges' link: doorbells down, telemetry up, and nothing that hangs on it."""

import asyncio
import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fluxprint_common.ids import show
from support.link import link, message, ring, telemetry
from support.queue import QueueWorld, eventually, queue_app, start_queue
from support.servers import Database, connected
from support.serving import serving
from support.tokens import Issuer, bearer


async def connection_of(world: QueueWorld, printer: str, wanted: str) -> None:
    async def there() -> bool:
        return bool((await world.printer_now(printer))["connection"] == wanted)

    await eventually(there, within_s=30)


class TestDoorbell:
    async def test_it_rings_for_work_commands_and_cancelled_claims(self, world: QueueWorld) -> None:
        printer = await world.printer()
        async with link(world) as socket:
            hello = await message(socket)
            assert (hello["type"], hello["bridge_id"]) == ("hello", show("bridge", world.bridge))
            job = await world.job()
            await ring(socket, "work")
            attempt = await world.claimed(printer)
            await world.permit(attempt)
            await world.report(attempt, "started")
            await world.send("POST", f"/jobs/{job}/pause", expect=202)
            assert (await ring(socket, "command"))["printer_id"] == printer
            await world.report(attempt, "completed")
            await world.bed_cleared(printer, attempt)
            second = await world.job()
            await world.claimed(printer)
            await world.send("POST", f"/jobs/{second}/cancel", expect=200)
            assert (await ring(socket, "attempt"))["printer_id"] == printer
            await world.printer("another")
            await ring(socket, "printers")

    async def test_without_redis_it_still_rings(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        """Two replicas without Redis: what one commits, the other finds by itself."""
        async with (
            start_queue(database, issuer, auth_url, tmp_path, poll_s=0.2) as here,
            start_queue(database, issuer, auth_url, tmp_path, poll_s=0.2) as there,
            httpx.AsyncClient(base_url=here) as http,
            httpx.AsyncClient(base_url=there) as other,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            await world.printer()
            far = QueueWorld(other, issuer, tmp_path)
            far.organisation, far.bridge = world.organisation, world.bridge
            async with link(far) as socket:
                await message(socket)
                await world.job()
                await ring(socket, "work")

    async def test_a_bridge_on_redis_hears_the_same(self, world: QueueWorld, redis_url: str) -> None:
        printer = await world.printer()
        async with Redis.from_url(redis_url) as redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(f"fluxprint:bridge:{show('bridge', world.bridge)}")
            await world.job()

            async def heard() -> bool:
                found = await pubsub.get_message(timeout=0.1)
                wanted = {"type": "doorbell", "reason": "work", "printer_id": printer}
                return found is not None and json.loads(found["data"]) == wanted

            await eventually(heard)

    async def test_another_organisations_work_rings_nobody_here(self, world: QueueWorld) -> None:
        await world.printer()
        other = world.neighbour()
        await other.printer()
        async with link(world) as socket:
            await message(socket)
            await other.job()
            await world.job()
            await ring(socket, "work")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await socket.recv()


class TestTelemetry:
    async def test_it_shows_the_printer_as_it_is(self, world: QueueWorld) -> None:
        printer = await world.printer()
        assert (await world.printer_now(printer))["connection"] == "offline"
        async with link(world) as socket:
            await socket.send(json.dumps(telemetry(printer, state="printing", progress=0.42)))
            await connection_of(world, printer, "online")
            now = await world.printer_now(printer)
            assert (now["telemetry"]["state"], now["telemetry"]["progress"]) == ("printing", 0.42)
            assert now["telemetry"]["temperatures"] == {"tool0": {"actual": 21.5, "target": 0.0}}
            assert now["last_seen_at"] is not None

    async def test_since_when_the_connection_is_what_it_is_is_kept(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        printer = await own_world.printer()
        moments = []
        async with link(own_world) as socket, connected(database.url) as owner:
            for number, connection in enumerate(["octoprint_offline", "octoprint_offline", "online"]):
                await socket.send(json.dumps(telemetry(printer, connection=connection, progress=number / 10)))
                kept = "SELECT connection_since FROM queue.printer WHERE (telemetry->>'progress')::real = $1::real"
                moments.append(await eventually(partial(owner.fetchval, kept, number / 10), within_s=30))
        assert moments[0] == moments[1] < moments[2]

    async def test_a_silent_printer_is_shown_offline(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        async with (
            start_queue(database, issuer, auth_url, tmp_path, offline_after_s=5) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            printer = await world.printer()
            async with link(world) as socket:
                await socket.send(json.dumps(telemetry(printer)))
                await connection_of(world, printer, "online")
            await connection_of(world, printer, "offline")
            kinds = (await world.send("GET", "/events", params={"type": "printer.connection_changed"})).json()["items"]
            assert [item["data"]["connection"] for item in kinds] == ["online", "offline"]

    async def test_a_printer_that_moved_is_the_new_bridges(self, world: QueueWorld) -> None:
        printer, new = await world.printer(), world.another_bridge()
        path, change = f"/printers/{printer}", {"bridge_id": show("bridge", new.bridge)}
        async with link(world) as before, link(new) as after:
            await before.send(json.dumps(telemetry(printer)))
            await connection_of(world, printer, "online")
            etag = (await world.send("GET", path)).headers["etag"]
            await world.send("PATCH", path, json=change, headers={"If-Match": etag}, expect=200)
            await ring(after, "work")
            await after.send(json.dumps(telemetry(printer, state="printing")))

            async def told() -> bool:
                return bool((await world.printer_now(printer))["telemetry"]["state"] == "printing")

            await eventually(told)

    async def test_a_foreign_printers_is_not_believed(self, world: QueueWorld) -> None:
        printer, mine = await world.printer("one"), world.another_bridge()
        own = await mine.printer("two")
        async with link(mine) as socket:
            await socket.send(json.dumps(telemetry(printer)))
            await socket.send(json.dumps(telemetry(own)))
            await connection_of(mine, own, "online")
        assert (await world.printer_now(printer))["connection"] == "offline"

    async def test_garbage_is_dropped_and_the_link_lives(self, world: QueueWorld) -> None:
        printer = await world.printer()
        async with link(world) as socket:
            for garbage in ("", "nonsense", "[1]", '{"type":"telemetry"}', json.dumps(telemetry(printer, progress=7))):
                await socket.send(garbage)
            await socket.send(json.dumps(telemetry(printer)))
            await connection_of(world, printer, "online")

    async def test_one_that_cannot_be_stored_stops_nobody_elses(self, world: QueueWorld) -> None:
        printer, bystander = await world.printer(), world.neighbour()
        other = await bystander.printer()
        async with link(world) as hostile, link(bystander) as honest:
            poison = telemetry(printer, error="zero \0 byte", temperatures={"tool\0": {"actual": 1, "target": 1}})
            await hostile.send(json.dumps(poison))
            await honest.send(json.dumps(telemetry(other)))
            await connection_of(bystander, other, "online")
        assert (await world.printer_now(printer))["connection"] == "offline"

    async def test_a_clock_that_was_set_back_is_believed(self, world: QueueWorld) -> None:
        printer = await world.printer()
        async with link(world) as socket:
            await socket.send(json.dumps(telemetry(printer, at="2099-01-01T00:00:00Z", state="idle")))
            await connection_of(world, printer, "online")
            await socket.send(json.dumps(telemetry(printer, state="printing")))

            async def shown() -> bool:
                return bool((await world.printer_now(printer))["telemetry"]["state"] == "printing")

            await eventually(shown)

    async def test_viewers_get_it_in_their_stream(self, world: QueueWorld) -> None:
        printer = await world.printer()
        path, headers = "/api/v1/events/stream", world.headers()
        async with (
            link(world) as socket,
            world.http.stream("GET", path, headers=headers, params={"telemetry": True}) as answer,
            asyncio.timeout(10),
        ):
            lines = answer.aiter_lines()
            await anext(lines)
            await socket.send(json.dumps(telemetry(printer, progress=0.5)))
            async for line in lines:
                if line.startswith("data: ") and "temperatures" in line:
                    assert json.loads(line.removeprefix("data: "))["data"]["progress"] == 0.5
                    break


class TestAccess:
    async def test_only_a_bridge_with_the_subprotocol_gets_in(self, world: QueueWorld) -> None:
        ended = bearer(world.issuer.bridge_token(organisation=world.organisation, bridge=world.bridge, lifetime_s=-60))
        for headers in ({}, world.headers(), bearer("nonsense"), ended):
            with pytest.raises(InvalidStatus) as refused:
                async with link(world, headers=headers):
                    pass
            assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus):
            async with link(world, subprotocol="something.else"):
                pass

    async def test_it_ends_with_its_token(self, world: QueueWorld) -> None:
        token = world.issuer.bridge_token(organisation=world.organisation, bridge=world.bridge, lifetime_s=2)
        async with link(world, headers=bearer(token)) as socket:
            await message(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await message(socket)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401

    async def test_a_newer_connection_takes_over(self, world: QueueWorld) -> None:
        async with link(world) as old:
            await message(old)
            async with link(world) as new:
                await message(new)
                with pytest.raises(ConnectionClosed) as closed:
                    await message(old)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4409
                await world.printer()
                await ring(new, "printers")


class TestStop:
    async def test_links_and_streams_end_before_the_service_does(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        app = queue_app(database, issuer, auth_url, tmp_path)
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
            world = QueueWorld(http, issuer, tmp_path)
            path, headers = "/api/v1/events/stream", world.headers()
            async with link(world) as socket, http.stream("GET", path, headers=headers) as answer, asyncio.timeout(10):
                await message(socket)
                lines = answer.aiter_lines()
                await anext(lines)
                for end in app.state.before_stop:
                    end()
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1012
                assert [line async for line in lines] == [""]
