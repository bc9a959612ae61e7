"""API keys for named printers: of the others, of what prints there, and of jobs for any printer they know nothing."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from fluxprint_common.ids import PrinterId, new_id, show
from fluxprint_common.permissions import Permission, Role
from fluxprint_queue.app import create_app
from fluxprint_queue.settings import QueueSettings
from support.queue import Json, QueueWorld, code, eventually
from support.tokens import bearer

from .test_events import stream

_PRINTER: TypeAdapter[UUID] = TypeAdapter(PrinterId)


@dataclass
class Farm:
    """Two printers that print, and a key for the first of them.

    Attributes:
        own, other: a printer, the job that is for it alone, the attempt that prints it, and a command for it.
        free_job: a job that any printer may take.
    """

    world: QueueWorld
    own: dict[str, str]
    other: dict[str, str]
    free_job: str
    file: str
    key: UUID

    def headers(self, *printers: str, role: Role = Role.OWNER) -> dict[str, str]:
        return bearer(
            self.world.issuer.key_token(
                organisation=self.world.organisation,
                printers=[_PRINTER.validate_python(printer) for printer in printers or (self.own["printer"],)],
                role=role,
                user=self.world.user,
                key=self.key,
            )
        )

    async def ask(self, method: str, path: str, *, printers: tuple[str, ...] = (), **more: Any) -> httpx.Response:
        headers = {**self.headers(*printers), **more.pop("headers", {})}
        return await self.world.http.request(method, f"/api/v1{path}", headers=headers, **more)

    async def ids(self, path: str, **more: Any) -> set[str]:
        items: list[Json] = (await self.ask("GET", path, **more)).json()["items"]
        return {str(item["id"]) for item in items}


async def busy(world: QueueWorld, name: str) -> dict[str, str]:
    printer = await world.printer(name)
    job = await world.job(printer_id=printer)
    attempt = await world.printing(printer)
    answer = await world.send("POST", f"/jobs/{job}/pause", expect=202)
    return {"printer": printer, "job": job, "attempt": attempt["id"], "command": answer.json()["items"][0]["id"]}


@pytest.fixture
async def farm(world: QueueWorld) -> Farm:
    own, other = await busy(world, "Own"), await busy(world, "Other")
    return Farm(world, own, other, await world.job(), await world.file(), new_id())


#: Every route of people, with a body that would do, and what the key gets for what is its own. `None`: see the class.
ROUTES: dict[str, tuple[object, int | None]] = {
    "GET /jobs/{job}": (None, 200),
    "GET /jobs/{job}/attempts": (None, 200),
    "POST /jobs/{job}/cancel": ({}, 200),
    "POST /jobs/{job}/pause": ({}, 202),
    "POST /jobs/{job}/resume": ({}, 409),
    "GET /attempts/{attempt}": (None, 200),
    "POST /attempts/{attempt}/resolve": ({"outcome": "printed"}, 409),
    "GET /commands/{command}": (None, 200),
    "GET /printers/{printer}": (None, 200),
    "PATCH /printers/{printer}": ({"enabled": True}, 412),
    "DELETE /printers/{printer}": (None, 409),
    "POST /printers/{printer}/bed-cleared": ({}, 409),
    "GET /jobs": (None, None),
    "POST /jobs": (None, None),
    "GET /printers": (None, None),
    "POST /printers": (None, None),
    "GET /events": (None, None),
    "GET /events/stream": (None, None),
}
#: Files belong to the organisation, not to a printer.
FILES = {
    "POST /files",
    "GET /files",
    "GET /files/{file}",
    "DELETE /files/{file}",
    "GET /files/{file}/content",
    "GET /files/{file}/thumbnails/{width_px}x{height_px}",
}
DOCUMENTS = {"GET /openapi.json", "GET /docs", "GET /docs/{asset}", "GET /queue/health"}


class TestEveryRoute:
    def test_is_tried(self, world: QueueWorld, tmp_path: Path) -> None:
        settings = QueueSettings(
            environment="test", database_url="postgresql+asyncpg://x:x@127.0.0.1:1/x", jwks_url="http://x.test/jwks",
            auth_url="http://x.test", storage_dir=tmp_path,
        )  # fmt: skip
        found = {
            f"{method} {str(route.path).removeprefix('/api/v1').replace('_id}', '}')}"
            for route in iter_route_contexts(create_app(settings).routes)
            for method in set(route.methods or ()) - {"HEAD"}
            if str(route.path).startswith("/api/v1/") and not str(route.path).startswith("/api/v1/bridge")
        }
        assert found == set(ROUTES) | FILES | DOCUMENTS

    async def test_finds_what_is_the_keys_own(self, farm: Farm) -> None:
        for route, (body, status) in ROUTES.items():
            if status is not None:
                answer = await self.ask(farm, route, farm.own, body)
                assert answer.status_code == status, (route, answer.text)

    async def test_finds_nothing_of_other_printers(self, farm: Farm) -> None:
        before = await self.state(farm)
        for route, (body, status) in ROUTES.items():
            if status is not None:
                answer = await self.ask(farm, route, farm.other, body)
                assert answer.status_code == 404, (route, answer.text)
        assert await self.state(farm) == before

    async def test_finds_nothing_of_jobs_that_any_printer_may_take(self, farm: Farm) -> None:
        for route, (body, status) in ROUTES.items():
            if status is not None and "{job}" in route:
                answer = await self.ask(farm, route, {"job": farm.free_job}, body)
                assert answer.status_code == 404, (route, answer.text)

    async def test_of_bridges_is_refused(self, farm: Farm) -> None:
        for path in ("/bridge/printers", f"/bridge/printers/{farm.own['printer']}/commands"):
            assert (await farm.ask("GET", path)).status_code == 403

    @staticmethod
    async def ask(farm: Farm, route: str, names: dict[str, str], body: object) -> httpx.Response:
        method, path = route.split()
        more: Json = {"json": body} if body is not None else {}
        return await farm.ask(method, path.format(**names), headers={"If-Match": '"of-another-time"'}, **more)

    @staticmethod
    async def state(farm: Farm) -> list[Json]:
        paths = [f"/{name}s/{farm.other[name]}" for name in ("printer", "job", "attempt", "command")]
        return [(await farm.world.send("GET", path)).json() for path in paths]


class TestLists:
    async def test_have_only_what_is_of_the_keys_printers(self, farm: Farm) -> None:
        assert await farm.ids("/printers") == {farm.own["printer"]}
        assert await farm.ids("/jobs") == {farm.own["job"]}
        assert await farm.ids("/jobs", params={"state": ["active", "queued"]}) == {farm.own["job"]}
        assert await farm.ids(f"/jobs/{farm.own['job']}/attempts") == {farm.own["attempt"]}

    async def test_of_several_printers_have_those_of_each(self, farm: Farm) -> None:
        both = (farm.own["printer"], farm.other["printer"])
        assert await farm.ids("/printers", printers=both) == set(both)
        assert await farm.ids("/jobs", printers=both) == {farm.own["job"], farm.other["job"]}

    async def test_of_another_organisation_stay_empty(self, farm: Farm) -> None:
        neighbour = farm.world.neighbour()
        token = neighbour.issuer.key_token(
            organisation=neighbour.organisation, printers=[_PRINTER.validate_python(farm.own["printer"])]
        )
        for path in ("/printers", "/jobs", "/events"):
            answer = await farm.world.http.get(f"/api/v1{path}", headers=bearer(token))
            assert answer.json()["items"] == []

    async def test_of_a_client_have_only_the_own_jobs_of_the_keys_printers(self, farm: Farm) -> None:
        token = farm.headers(role=Role.CLIENT)
        answer = await farm.world.http.get("/api/v1/jobs", headers=token)
        assert [item["id"] for item in answer.json()["items"]] == [farm.own["job"]]
        farm.world.user = new_id()
        answer = await farm.world.http.get("/api/v1/jobs", headers=farm.headers(role=Role.CLIENT))
        assert answer.json()["items"] == []
        for job in (farm.own["job"], farm.other["job"]):
            found = await farm.world.http.get(f"/api/v1/jobs/{job}", headers=farm.headers(role=Role.CLIENT))
            assert found.status_code == 404


class TestQueueing:
    async def test_is_for_the_keys_printer_where_none_is_named(self, farm: Farm) -> None:
        answer = await farm.ask("POST", "/jobs", json={"file_id": farm.file})
        assert (answer.status_code, answer.json()["printer_id"]) == (201, farm.own["printer"])
        assert await farm.world.claim(farm.other["printer"]) is not None  # its own attempt, adopted
        assert answer.json()["id"] in await farm.ids("/jobs")

    async def test_never_is_for_another_printer(self, farm: Farm) -> None:
        answer = await farm.ask("POST", "/jobs", json={"file_id": farm.file, "printer_id": farm.other["printer"]})
        assert (answer.status_code, code(answer)) == (422, "reference_unknown")
        unknown = {"file_id": farm.file, "printer_id": show("printer", new_id())}
        assert (await farm.ask("POST", "/jobs", json=unknown)).json()["detail"] == answer.json()["detail"]

    async def test_names_a_printer_where_the_key_has_several(self, farm: Farm) -> None:
        both = (farm.own["printer"], farm.other["printer"])
        answer = await farm.ask("POST", "/jobs", printers=both, json={"file_id": farm.file})
        assert (answer.status_code, code(answer)) == (422, "printer_missing")
        named = {"file_id": farm.file, "printer_id": farm.other["printer"]}
        assert (await farm.ask("POST", "/jobs", printers=both, json=named)).status_code == 201

    async def test_of_its_maker_under_the_same_idempotency_key_is_not_shown(self, farm: Farm) -> None:
        body = {"file_id": farm.file, "printer_id": farm.other["printer"]}
        sent = {"Idempotency-Key": "the-same-for-both"}
        made = await farm.world.send("POST", "/jobs", json=body, headers=sent)
        answer = await farm.ask("POST", "/jobs", json=body, headers=sent)
        assert (made.status_code, answer.status_code) == (201, 422)

    async def test_under_an_idempotency_key_of_its_own_happens_once(self, farm: Farm) -> None:
        sent = {"Idempotency-Key": "once-and-no-more"}
        answers = [await farm.ask("POST", "/jobs", json={"file_id": farm.file}, headers=sent) for _ in range(2)]
        assert answers[0].json() == answers[1].json()


class TestPrinters:
    async def test_are_not_added_by_a_key_for_some(self, farm: Farm) -> None:
        body = {"name": "New", "bridge_id": show("bridge", farm.world.bridge)}
        answer = await farm.ask("POST", "/printers", json=body)
        assert (answer.status_code, code(answer)) == (403, "limited_to_printers")

    async def test_are_changed_within_the_keys_bounds(self, farm: Farm) -> None:
        path = f"/printers/{farm.own['printer']}"
        etag = (await farm.ask("GET", path)).headers["etag"]
        merge = {"If-Match": etag, "Content-Type": "application/merge-patch+json"}
        answer = await farm.ask("PATCH", path, content='{"name": "Renamed"}', headers=merge)
        assert answer.json()["name"] == "Renamed"


class TestEvents:
    async def test_are_those_of_the_keys_printers(self, farm: Farm) -> None:
        items = (await farm.ask("GET", "/events", params={"limit": 200})).json()["items"]
        everything = str(items)
        assert {item["type"] for item in items} >= {"printer.created", "job.created", "attempt.printing"}
        for hidden in (*farm.other.values(), farm.free_job):
            assert hidden not in everything
        typed = (await farm.ask("GET", "/events", params={"type": ["job.created", "file.created"]})).json()["items"]
        assert [item["subject"] for item in typed] == [farm.own["job"]]

    async def test_come_as_a_stream_of_the_keys_printers_only(self, farm: Farm) -> None:
        world = farm.world
        async with stream(world, after=0, headers=farm.headers(), telemetry=True) as caught_up:
            seen = [await caught_up.event() for _ in range(4)]
            assert all(farm.other["printer"] not in str(event) for event in seen)
        async with stream(world, headers=farm.headers()) as live, stream(world) as everything:
            await asyncio.sleep(0)
            for names in (farm.other, farm.own):
                await world.send("POST", f"/jobs/{names['job']}/cancel", expect=200)
            assert (await everything.event())[2]["subject"] != farm.own["job"]
            _id, _type, first = await live.event()
            assert farm.own["attempt"] in str(first) or first["subject"] == farm.own["job"]

    async def test_places_are_the_keys_own(self, farm: Farm) -> None:
        """A program's streams take no place of its maker's."""
        async with stream(farm.world) as people, AsyncExitStack() as streams:
            for _ in range(21):  # one more than a person may have
                await streams.enter_async_context(stream(farm.world, headers=farm.headers()))
            await farm.world.send("POST", f"/jobs/{farm.own['job']}/cancel", expect=200)

            async def cancelled() -> bool:
                return farm.own["job"] in str(await people.event())

            assert await eventually(cancelled)


class TestScopes:
    async def test_bound_a_key_as_everywhere(self, farm: Farm) -> None:
        token = farm.world.issuer.key_token(
            organisation=farm.world.organisation,
            printers=[_PRINTER.validate_python(farm.own["printer"])],
            scope=Permission.JOBS_READ,
        )
        allowed = await farm.world.http.get(f"/api/v1/jobs/{farm.own['job']}", headers=bearer(token))
        refused = await farm.world.http.post(f"/api/v1/jobs/{farm.own['job']}/cancel", headers=bearer(token))
        assert (allowed.status_code, refused.status_code) == (200, 403)
