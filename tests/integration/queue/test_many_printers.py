"""What hundreds of printers must not do: all answer one bell, or echo what nobody else hears."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from fluxprint_queue.bridge.repository import SPARE, printers_for_work
from support import servers
from support.link import link, message, ring, telemetry
from support.queue import QueueWorld, eventually, start_queue
from support.servers import Database
from support.tokens import Issuer

PRINTERS = 12


class TestDoorbell:
    async def test_a_job_rings_no_more_printers_than_it_can_need(self, world: QueueWorld) -> None:
        free = {await world.printer(f"free {number}") for number in range(PRINTERS)}
        for number in range(PRINTERS):
            await world.printer(f"occupied {number}", clear=False)
        async with link(world) as socket:
            await message(socket)
            await world.job(copies=2)
            rung = {(await ring(socket, "work"))["printer_id"] for _ in range(2 + SPARE)}
            assert rung < free
            # Everything that the job rang comes before what happens after it.
            marker = await world.printer("last")
            assert await rest_until(socket, marker) == []

    async def test_those_that_will_be_free_hear_of_what_is_left(self, world: QueueWorld) -> None:
        free = await world.printer("free")
        occupied = await world.printer("occupied", clear=False)
        async with link(world) as socket:
            await message(socket)
            await world.job()
            assert {(await ring(socket, "work"))["printer_id"] for _ in range(2)} == {free, occupied}

    async def test_a_job_for_one_printer_rings_that_one(self, world: QueueWorld) -> None:
        printers = [await world.printer(f"printer {number}") for number in range(3)]
        async with link(world) as socket:
            await message(socket)
            await world.job(printer_id=printers[1])
            assert (await ring(socket, "work"))["printer_id"] == printers[1]
            marker = await world.printer("last")
            assert await rest_until(socket, marker) == []

    async def test_a_job_that_is_gone_rings_nobody(self, database: Database) -> None:
        engine = create_async_engine(database.url_for("queue"))
        organisation = uuid4()
        async with engine.begin() as connection:
            await connection.execute(_PRINTER, {"organisation_id": organisation})
        async with async_sessionmaker(engine)() as session:
            assert await printers_for_work(session, organisation, lot=1) == []
        await engine.dispose()


_PRINTER = text(
    "INSERT INTO queue.printer (id, organisation_id, bridge_id, name, enabled, bed_state)"
    " VALUES (gen_random_uuid(), :organisation_id, gen_random_uuid(), 'free', true, 'clear')"
)


async def rest_until(socket: Any, marker: str) -> list[dict[str, Any]]:
    """The doorbells before that of a new printer."""
    before = []
    while (found := await message(socket)) != {"type": "doorbell", "reason": "printers", "printer_id": marker}:
        before.append(found)
    return before


class TestTelemetry:
    async def test_another_replicas_viewers_get_it(
        self, database: Database, redis_url: str, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        async with (
            start_queue(database, issuer, auth_url, tmp_path, redis_url=redis_url) as here,
            start_queue(database, issuer, auth_url, tmp_path, redis_url=redis_url) as there,
            httpx.AsyncClient(base_url=here) as http,
            httpx.AsyncClient(base_url=there) as other,
        ):
            world, far = QueueWorld(http, issuer, tmp_path), QueueWorld(other, issuer, tmp_path)
            far.organisation, far.user = world.organisation, world.user
            printer = await world.printer()
            path, headers = "/api/v1/events/stream", far.headers()
            async with (
                link(world) as socket,
                other.stream("GET", path, headers=headers, params={"telemetry": True}) as answer,
                asyncio.timeout(10),
            ):
                lines = answer.aiter_lines()
                await anext(lines)

                async def send_on() -> None:  # the first may be sent before each knows of the other
                    while True:
                        await socket.send(json.dumps(telemetry(printer, progress=0.25)))
                        await asyncio.sleep(0.1)

                sending = asyncio.create_task(send_on())
                while "temperatures" not in await anext(lines):
                    pass
                sending.cancel()

    async def test_a_lone_replica_does_not_tell_itself(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        messages = 50
        async with (
            servers.running_redis(tmp_path) as server,
            start_queue(database, issuer, auth_url, tmp_path, redis_url=server.url()) as url,
            httpx.AsyncClient(base_url=url) as http,
            Redis.from_url(server.url()) as redis,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            printer = await world.printer()
            async with link(world) as socket:
                for number in range(messages):
                    await socket.send(json.dumps(telemetry(printer, print_time_s=float(number))))

                async def taken() -> bool:
                    shown = (await world.printer_now(printer))["telemetry"]
                    return bool(shown and shown["print_time_s"] == messages - 1)

                await eventually(taken)
            published = (await redis.info("commandstats"))["cmdstat_publish"]["calls"]
            assert published < messages // 2
