"""What was just uploaded is brought to a free printer before its job is there, and promised to nobody."""

import asyncio
import hashlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from fluxprint_queue.bridge.uploads import AT_MOST
from support.queue import GCODE, Json, QueueWorld
from support.servers import Database


async def next_file(world: QueueWorld, printer: str) -> Json | None:
    answer = await world.call("GET", f"/printers/{printer}/next")
    found: Json | None = answer.json() if answer.status_code == 200 else None
    return found


async def sha256_of_next(world: QueueWorld, printer: str) -> str | None:
    found = await next_file(world, printer)
    return found["file"]["sha256"] if found else None


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class TestAtAFreePrinter:
    async def test_it_is_brought_and_starts_with_the_claim_of_its_job(self, world: QueueWorld) -> None:
        printer, file = await world.printer(), await world.file()
        ahead = await next_file(world, printer)
        assert ahead is not None
        assert ahead["file"]["sha256"] == sha256(GCODE)
        content = await world.call("GET", f"/printers/{printer}/files/{sha256(GCODE)}", expect=200)
        assert content.content == GCODE
        await world.send("POST", "/jobs", json={"file_id": file}, expect=201)
        body: dict[str, Any] = {
            "journal_id": str(world.journal),
            "staged": {"attempt_id": ahead["attempt_id"], "sha256": sha256(GCODE)},
            "ready": True,
        }
        given = (await world.call("POST", f"/printers/{printer}/claim", json=body, expect=200)).json()
        assert (given["attempt"]["id"], given["attempt"]["state"]) == (ahead["attempt_id"], "starting")

    async def test_what_waits_comes_first(self, world: QueueWorld) -> None:
        printer, waiting = await world.printer(), await world.file()
        await world.send("POST", "/jobs", json={"file_id": waiting}, expect=201)
        await world.upload(GCODE + b"; later\n")
        assert await sha256_of_next(world, printer) == sha256(GCODE)

    async def test_it_is_only_the_newest(self, world: QueueWorld) -> None:
        printer = await world.printer()
        for n in range(3):
            await world.upload(GCODE + f"; {n}\n".encode())
        assert await sha256_of_next(world, printer) == sha256(GCODE + b"; 2\n")
        older = sha256(GCODE + b"; 1\n")
        await world.call("GET", f"/printers/{printer}/files/{older}", expect=404)

    async def test_it_goes_to_few_of_many_and_always_to_the_same(self, world: QueueWorld) -> None:
        printers = [await world.printer(str(n)) for n in range(AT_MOST + 2)]
        await world.file()
        for _ in range(2):
            found = [printer for printer in printers if await next_file(world, printer)]
            assert found == sorted(printers)[:AT_MOST]


class TestItIsNobodys:
    async def test_once_it_has_had_a_job(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        await world.send("POST", f"/jobs/{job}/cancel")
        assert await next_file(world, printer) is None

    async def test_once_it_is_deleted(self, world: QueueWorld) -> None:
        printer, file = await world.printer(), await world.file()
        await world.send("DELETE", f"/files/{file}", expect=204)
        assert await next_file(world, printer) is None

    async def test_after_a_while(self, own_world: QueueWorld, database: Database) -> None:
        printer, _file = await own_world.printer(), await own_world.file()
        assert await next_file(own_world, printer) is not None
        async with database.as_owner() as owner:
            await owner.execute("UPDATE queue.file SET created_at = now() - interval '901 s'")
        assert await next_file(own_world, printer) is None
        await own_world.call("GET", f"/printers/{printer}/files/{sha256(GCODE)}", expect=404)

    @pytest.mark.parametrize("clear", [True, False])
    async def test_at_a_printer_that_is_not_free(self, world: QueueWorld, clear: bool) -> None:
        printer = await world.printer(clear=clear)
        if clear:
            await world.job()
            await world.printing(printer)
        await world.upload(GCODE + b"; later\n")
        assert await next_file(world, printer) is None

    async def test_in_another_organisation_or_at_another_bridge(self, world: QueueWorld) -> None:
        neighbour, sibling = world.neighbour(), world.another_bridge()
        theirs, its = await neighbour.printer(), await sibling.printer("sibling")
        await world.file()
        assert await next_file(neighbour, theirs) is None
        await neighbour.call("GET", f"/printers/{theirs}/files/{sha256(GCODE)}", expect=404)
        assert await next_file(sibling, its) is not None  # the same organisation's
        await world.call("GET", f"/printers/{its}/next", expect=404)


class TestDoorbell:
    async def test_it_rings_to_stage_and_not_to_claim(self, world: QueueWorld) -> None:
        await world.printer()
        url = f"ws{str(world.http.base_url).rstrip('/').removeprefix('http')}/api/v1/bridge/link"
        offered = [Subprotocol("fluxprint.bridge.v1")]
        async with connect(url, additional_headers=world.bridge_headers(), subprotocols=offered) as link:
            reasons = [await self.reason(link)]
            assert reasons == [None]  # its greeting
            file = await world.file()
            while "stage" not in reasons:
                reasons.append(await self.reason(link))
            await world.send("DELETE", f"/files/{file}", expect=204)
            while reasons.count("stage") < 2:
                reasons.append(await self.reason(link))
            assert set(reasons) <= {None, "printers", "stage"}

    async def reason(self, link: ClientConnection) -> str | None:
        async with asyncio.timeout(10):
            reason: str | None = json.loads(await link.recv()).get("reason")
        return reason
