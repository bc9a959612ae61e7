"""Decisions from the camera to the people: told to a real queue service, shown, judged, and steered by policies."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr, TypeAdapter

from fluxprint_camera.app import create_app
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.watching.telling import Teller
from fluxprint_common.ids import PrinterId, new_id, show
from fluxprint_common.permissions import Permission, Role
from fluxprint_local.postgres import Cluster
from support import databases, servers
from support.camera import settings_of
from support.pictures import black, scene
from support.queue import QueueWorld, auth_url, start_queue
from support.serving import serving
from support.tokens import Issuer, bearer
from support.watching import Replica, Workshop, workshop_at

__all__ = ["auth_url"]

MOVING = [scene(head_x=100), scene(head_x=300)]
DARK = black()
_ID: TypeAdapter[UUID] = TypeAdapter(PrinterId)


class House:
    """A camera service and a queue service on one database, and a workshop whose watcher is turned by hand."""

    def __init__(self, workshop: Workshop, world: QueueWorld, camera_url: str, issuer: Issuer) -> None:
        self.workshop = workshop
        self.world = world
        self.issuer = issuer
        self.http = httpx.AsyncClient(base_url=f"{camera_url}/api/v1/cameras", timeout=20)
        workshop.organisation_id = world.organisation
        self.queue_http = httpx.AsyncClient()
        self.teller = Teller(
            workshop.database, self.queue_http, str(world.http.base_url).rstrip("/"), pause_within_s=120
        )

    async def close(self) -> None:
        await self.http.aclose()
        await self.queue_http.aclose()

    async def printing(self, name: str) -> tuple[str, dict[str, Any], CameraRow]:
        """A printer that prints, with a camera."""
        printer, job = await self.world.printer(name), await self.world.job()
        attempt = await self.world.printing(printer)
        camera = await self.workshop.camera(printer_id=_ID.validate_python(printer))
        return printer, {**attempt, "job_id": job}, camera

    def begin(self, printer: str, attempt: dict[str, Any]) -> None:
        """What the queue's feed of prints would say."""
        found = self.workshop.prints.begin(
            self.workshop.organisation_id, _ID.validate_python(printer), UUID(attempt["id"].partition("_")[2])
        )
        self.workshop.prints.put(found.model_copy(update={"job_id": UUID(attempt["job_id"].partition("_")[2])}))

    async def get(self, path: str, *, role: Role = Role.VIEWER, **more: Any) -> httpx.Response:
        return await self.send("GET", path, role=role, **more)

    async def send(self, method: str, path: str, *, role: Role, **more: Any) -> httpx.Response:
        token = self.issuer.user_token(organisation=self.world.organisation, role=role)
        return await self.http.request(method, path, headers=bearer(token), **more)

    async def decisions(self, **params: str) -> list[dict[str, Any]]:
        answer = await self.get("/decisions", params=params)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def events(self, *types: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.world.send("GET", "/events", params={"type": list(types)})).json()[
            "items"
        ]
        return items


@pytest.fixture(scope="module")
async def urls(
    migrated_cluster: Cluster,
    issuer: Issuer,
    auth_url: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[servers.Database, str, str, Path]]:
    folder = tmp_path_factory.mktemp("decisions")
    async with (
        databases.new_database(migrated_cluster) as database,
        start_queue(database, issuer, auth_url, folder, redis_url=redis_url) as queue_url,
        serving(
            create_app(
                settings_of(
                    database_url=SecretStr(database.url_for("camera")),
                    jwks_url=issuer.jwks_url,
                    queue_url=queue_url,
                    data_dir=folder,
                    data_reserve_bytes=0,
                    rate_limits_enabled=False,
                    watch_enabled=False,  # a test looks by itself
                )
            )
        ) as camera_url,
    ):
        yield database, queue_url, camera_url, folder


@pytest.fixture
async def house(urls: tuple[servers.Database, str, str, Path], issuer: Issuer) -> AsyncIterator[House]:
    database, queue_url, camera_url, folder = urls
    async with (
        workshop_at(database, folder) as workshop,
        httpx.AsyncClient(base_url=queue_url, timeout=20) as http,
    ):
        house = House(workshop, QueueWorld(http, issuer, folder), camera_url, issuer)
        yield house
        await house.close()
        await workshop.change("DELETE FROM camera.watch_policy")
        await workshop.change("DELETE FROM camera.camera")


async def fail(house: House, printer: str, attempt: dict[str, Any], camera: CameraRow) -> Replica:
    """The detector sees that print fail for long enough."""
    replica = house.workshop.replica()
    house.begin(printer, attempt)
    replica.scorer.said = {"spaghetti": 0.93}
    await go_on(house, replica, camera)
    return replica


async def go_on(house: House, replica: Replica, camera: CameraRow) -> None:
    """What the detector saw goes on, as the bridge connects anew."""
    uplink = replica.connect(camera)
    await replica.step()
    await house.workshop.show(replica, uplink, *MOVING * 5)


class TestTelling:
    async def test_pauses_the_print_that_was_seen_and_shows_it_in_the_feed(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        other, _beside, _ = await house.printing("Beside")
        assert (
            await house.send("PUT", "/watch-policy", role=Role.MANAGER, json={"failure": "pause"})
        ).status_code == 200
        await fail(house, printer, attempt, camera)
        for _ in range(2):
            await house.teller.tell()
        [command] = (await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"]
        assert (command["kind"], command["attempt_id"]) == ("pause", attempt["id"])
        assert (await house.world.call("GET", f"/printers/{other}/commands")).json()["items"] == []
        [event] = await house.events("camera.failure_suspected")
        assert event["subject"] == show("camera", camera.id)
        [decision] = await house.decisions(attempt_id=attempt["id"])
        assert (decision["action"], decision["outcome"]) == ("pause", "pause_ordered")
        assert event["data"] == event["data"] | {
            "decision_id": decision["id"], "attempt_id": attempt["id"],
            "label": "spaghetti", "outcome": "pause_ordered",
        }  # fmt: skip

    async def test_does_not_pause_what_came_after_the_print_that_was_seen(self, house: House) -> None:
        printer, first, camera = await house.printing("Watched")
        await house.send("PUT", f"/watch-policies/{printer}", role=Role.OWNER, json={"failure": "pause"})
        await fail(house, printer, first, camera)
        await house.world.report(first, "failed", reason="print_failed")
        await house.world.bed_cleared(printer, first)
        await house.world.job()
        await house.world.printing(printer)
        await house.teller.tell()
        assert (await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"] == []
        assert [found["outcome"] for found in await house.decisions()] == ["not_printing"]

    async def test_does_not_pause_where_nobody_said_so(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        await fail(house, printer, attempt, camera)
        await house.teller.tell()
        assert (await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"] == []
        assert [(found["action"], found["outcome"]) for found in await house.decisions()] == [("notify", "notified")]

    async def test_waits_for_a_queue_service_that_is_away_and_pauses_nothing_by_then(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        await house.send("PUT", "/watch-policy", role=Role.MANAGER, json={"failure": "pause"})
        await fail(house, printer, attempt, camera)
        away = Teller(house.workshop.database, house.queue_http, "http://127.0.0.1:1", pause_within_s=120)
        with pytest.raises(httpx.ConnectError):
            await away.tell()
        assert [found["outcome"] for found in await house.decisions()] == [None]
        await house.workshop.change("UPDATE camera.decision SET created_at = now() - interval '3 minutes'")
        await house.teller.tell()
        assert [found["outcome"] for found in await house.decisions()] == ["too_late"]
        assert (await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"] == []
        assert len(await house.events("camera.failure_suspected")) == 1

    async def test_pauses_a_print_that_still_fails_once_the_queue_service_is_back(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        await house.send("PUT", "/watch-policy", role=Role.MANAGER, json={"failure": "pause"})
        replica = await fail(house, printer, attempt, camera)
        await house.workshop.change("UPDATE camera.decision SET created_at = now() - interval '3 minutes'")
        for _ in range(2):
            await house.teller.tell()  # of the decision, and of its end
        [ended] = await house.events("camera.trouble_ended")
        assert (ended["data"]["outcome"], ended["data"]["reason"]) == ("notified", "too_late")
        await go_on(house, replica, camera)
        await house.teller.tell()
        outcomes = [(found["action"], found["outcome"]) for found in await house.decisions()]
        assert outcomes == [("pause", "pause_ordered"), ("pause", "too_late")]
        [command] = (await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"]
        assert (command["kind"], command["attempt_id"]) == ("pause", attempt["id"])

    async def test_pauses_a_print_that_failed_again_before_the_queue_service_was_back(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        await house.send("PUT", "/watch-policy", role=Role.MANAGER, json={"failure": "pause"})
        replica = await fail(house, printer, attempt, camera)
        replica.scorer.said = {"spaghetti": 0.0}
        for _ in range(3):
            await go_on(house, replica, camera)
        replica.scorer.said = {"spaghetti": 0.93}
        await go_on(house, replica, camera)
        assert [found["action"] for found in await house.decisions()] == ["notify", "pause"]
        await house.workshop.change("UPDATE camera.decision SET created_at = now() - interval '3 minutes'")
        await house.teller.tell()
        await go_on(house, replica, camera)
        await house.teller.tell()
        assert (await house.decisions())[0]["outcome"] == "pause_ordered"
        assert len((await house.world.call("GET", f"/printers/{printer}/commands")).json()["items"]) == 1

    async def test_of_one_that_is_not_taken_does_not_hold_up_the_others(self, house: House) -> None:
        cameras = [await house.workshop.camera() for _ in range(2)]
        replica = house.workshop.replica()
        for camera in cameras:
            uplink = replica.connect(camera)
            await replica.step()
            await house.workshop.show(replica, uplink, *[DARK] * 2, every_s=61)
        first = show("decision", (await house.workshop.decisions())[0]["id"])  # type: ignore[arg-type]

        def answer(request: httpx.Request) -> httpx.Response:
            told = json.loads(request.content)["id"]
            return httpx.Response(500) if told == first else httpx.Response(200, json={"outcome": "notified"})

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            with pytest.raises(httpx.HTTPStatusError):
                await Teller(house.workshop.database, http, "http://queue", pause_within_s=120).tell()
        assert [found["outcome"] for found in await house.decisions()] == ["notified", None]

    async def test_tells_of_the_end_too_and_of_printers_that_are_gone(self, house: House) -> None:
        printer, attempt, camera = await house.printing("Watched")
        gone = await house.workshop.camera()
        replica = await fail(house, printer, attempt, camera)
        uplink = replica.connect(gone)
        await replica.step()
        await house.workshop.show(replica, uplink, *[DARK] * 4, every_s=61)
        house.workshop.prints.end(house.workshop.prints.prints[UUID(attempt["id"].partition("_")[2])])
        await replica.step()
        await house.teller.tell()
        [event] = await house.events("camera.trouble_ended")
        assert (event["data"]["kind"], event["data"]["reason"]) == ("failure", "print_ended")
        outcomes = {found["kind"]: found["outcome"] for found in await house.decisions()}
        assert outcomes["black"] == "printer_gone"


class TestDecisions:
    async def test_are_listed_newest_first_in_pages_and_by_what_is_asked(self, house: House) -> None:
        replica, camera = house.workshop.replica(), await house.workshop.camera()
        uplink = replica.connect(camera)
        await replica.step()
        for _ in range(2):
            await house.workshop.show(replica, uplink, *[DARK] * 2, *MOVING, every_s=61)
        newest, oldest = await house.decisions()
        assert newest["id"] > oldest["id"]
        first = (await house.get("/decisions", params={"limit": 1})).json()
        second = (await house.get("/decisions", params={"limit": 1, "cursor": first["next_cursor"]})).json()
        assert [first["items"], second["items"], second["next_cursor"]] == [[newest], [oldest], None]
        assert len(await house.decisions(kind="black", camera_id=show("camera", camera.id))) == 2
        assert await house.decisions(kind="failure") == []
        assert await house.decisions(printer_id=show("printer", new_id())) == []
        assert (newest["ended_at"] is not None, newest["end_reason"], newest["verdict"]) == (True, "cleared", None)

    async def test_have_their_picture_and_are_judged_by_who_works_at_printers(self, house: House) -> None:
        replica, camera = house.workshop.replica(), await house.workshop.camera()
        uplink = replica.connect(camera)
        await replica.step()
        await house.workshop.show(replica, uplink, *[DARK] * 2, every_s=61)
        [decision] = await house.decisions()
        [counted] = replica.records.metrics.decisions.collect()
        totals = {one.labels["kind"]: one.value for one in counted.samples if one.name.endswith("_total")}
        assert (totals["black"], totals["frozen"]) == (1, 0)
        path = f"/decisions/{decision['id']}"
        picture = await house.get(f"{path}/picture")
        assert (picture.content, picture.headers["content-type"]) == (DARK, "image/jpeg")
        for of, status in ((camera, 200), (await house.workshop.camera(), 404)):  # as an `<img>` gets it
            made = await house.send("POST", f"/{show('camera', of.id)}/view-tokens", role=Role.VIEWER)
            opened = await house.http.get(f"{path}/picture", params={"token": made.json()["token"]})
            assert opened.status_code == status
        refused = await house.send("PUT", f"{path}/verdict", role=Role.VIEWER, json={"verdict": "wrong"})
        assert refused.status_code == 403
        judged = await house.send("PUT", f"{path}/verdict", role=Role.EDITOR, json={"verdict": "wrong"})
        assert (judged.json()["verdict"], judged.json()["verdict_by"] is not None) == ("wrong", True)
        taken_back = await house.send("PUT", f"{path}/verdict", role=Role.EDITOR, json={"verdict": None})
        assert taken_back.json() | {"verdict": None, "verdict_by": None, "verdict_at": None} == decision
        await house.workshop.replicas[0].pictures.forget(keep_days=-1)
        assert (await house.get(f"{path}/picture")).json()["code"] == "picture_gone"

    async def test_are_nobody_elses(self, house: House, issuer: Issuer) -> None:
        replica, camera = house.workshop.replica(), await house.workshop.camera()
        uplink = replica.connect(camera)
        await replica.step()
        await house.workshop.show(replica, uplink, *[DARK] * 2, every_s=61)
        [decision] = await house.decisions()
        strangers = {
            "another organisation": bearer(issuer.user_token(organisation=new_id(), role=Role.OWNER)),
            "a key for another printer": bearer(
                issuer.key_token(
                    organisation=house.world.organisation,
                    scope=f"{Permission.CAMERAS_VIEW} {Permission.PRINTERS_OPERATE}",
                    printers=[new_id()],
                )
            ),
        }
        for headers in strangers.values():
            path = f"/decisions/{decision['id']}"
            answers = [
                await house.http.get(path, headers=headers),
                await house.http.get(f"{path}/picture", headers=headers),
                await house.http.put(f"{path}/verdict", headers=headers, json={"verdict": "right"}),
            ]
            assert [answer.status_code for answer in answers] == [404, 404, 404]
            assert (await house.http.get("/decisions", headers=headers)).json()["items"] == []


class TestPolicies:
    async def test_of_a_printer_come_before_the_organisations(self, house: House) -> None:
        camera = await house.workshop.camera()
        printer = show("printer", camera.printer_id)
        default = (await house.get("/watch-policy")).json()
        assert (default["failure"], default["updated_by"]) == ("notify", None)
        await house.send("PUT", "/watch-policy", role=Role.OWNER, json={"black": "off"})
        own = await house.send("PUT", f"/watch-policies/{printer}", role=Role.MANAGER, json={"enter_score": 0.9})
        assert (own.json()["printer_id"], own.json()["black"], own.json()["enter_score"]) == (printer, "notify", 0.9)
        listed = (await house.get("/watch-policies")).json()["items"]
        assert [(item["printer_id"], item["black"]) for item in listed] == [(None, "off"), (printer, "notify")]
        replica = house.workshop.replica()
        uplink = replica.connect(camera)
        await replica.step()
        await house.workshop.show(replica, uplink, *[DARK] * 2, every_s=61)
        assert len(await house.decisions()) == 1
        gone = await house.send("DELETE", f"/watch-policies/{printer}", role=Role.MANAGER)
        assert gone.status_code == 204
        await replica.step()
        assert [found["end_reason"] for found in await house.decisions()] == ["switched_off"]

    @pytest.mark.parametrize(
        "body", [{"failure": "cancel"}, {"black": "pause"}, {"enter_score": 0.4}, {"enter_score": 2}, {"other": 1}]
    )
    async def test_refuse_nonsense(self, house: House, body: dict[str, object]) -> None:
        assert (await house.send("PUT", "/watch-policy", role=Role.OWNER, json=body)).status_code == 422

    async def test_are_for_managers_and_for_printers_with_a_camera(self, house: House, issuer: Issuer) -> None:
        camera = await house.workshop.camera()
        printer = show("printer", camera.printer_id)
        assert (await house.send("PUT", "/watch-policy", role=Role.EDITOR, json={})).status_code == 403
        nobodys = f"/watch-policies/{show('printer', new_id())}"
        assert (await house.send("PUT", nobodys, role=Role.OWNER, json={})).status_code == 404
        key = bearer(
            issuer.key_token(
                organisation=house.world.organisation,
                scope=str(Permission.PRINTERS_MANAGE),
                printers=[camera.printer_id],
            )
        )
        assert (await house.http.put("/watch-policy", headers=key, json={})).status_code == 403
        assert (await house.http.put(f"/watch-policies/{printer}", headers=key, json={})).status_code == 200
