"""What bridges see: who is let in, which cameras are taken, what is wanted of them, and why they are closed."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
import pytest
import websockets
from pydantic import SecretStr

from fluxprint_camera.app import create_app
from fluxprint_camera.ingest.uplinks import AT_ONCE
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.camera import jpeg, settings_of
from support.camera_service import Organisation
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer
from support.uplink import connected, described, header, stream, uplink

PRINTER = show("printer", new_id())


async def refusal(organisation: Organisation, token: str | None, *, protocol: bool = True) -> int:
    """The status that a handshake is refused with."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(organisation.service.url, token, protocol=protocol):
            pass
    return refused.value.response.status_code


def printer_of(organisation: Organisation) -> str:
    """A new printer of the organisation's bridge."""
    printer = show("printer", new_id())
    organisation.service.printers.add(organisation.bridge_token, printer)
    return printer


def codes(answer: dict[str, Any]) -> dict[int, str]:
    """What an answer refuses, by channel."""
    return {one["channel"]: one["code"] for one in answer["refused"]}


class TestHandshake:
    async def test_refuses_who_is_no_bridge(self, organisation: Organisation, issuer: Issuer) -> None:
        refused: dict[str, Callable[[], str | None]] = {
            "nobody": lambda: None,
            "a person": lambda: organisation.user_token(Role.OWNER),
            "an old token": lambda: issuer.bridge_token(organisation=organisation.id, bridge=new_id(), lifetime_s=-60),
            "nonsense": lambda: "eyJhbGciOiJub25lIn0.e30.AA",
        }
        assert {who: await refusal(organisation, token()) for who, token in refused.items()} == dict.fromkeys(
            refused, 403
        )

    async def test_refuses_another_protocol(self, organisation: Organisation) -> None:
        assert await refusal(organisation, organisation.bridge_token, protocol=False) == 403


class TestList:
    async def test_names_each_camera_and_the_limits(self, organisation: Organisation) -> None:
        printer = printer_of(organisation)
        async with connected(organisation.service.url, organisation.bridge_token) as bridge:
            answer = await bridge.announce(
                described(printer, channel=7), described(printer, channel=9, key="nozzle", name="Nozzle", rotate=90)
            )
            assert [one["channel"] for one in answer["cameras"]] == [7, 9]
            assert answer["refused"] == []
            assert (answer["max_frame_bytes"], answer["max_width"]) == (300_000, 3840)
            async with organisation.client() as client:
                nozzle = (await client.get(f"/api/v1/cameras/{bridge.cameras[9]}")).json()
            assert {name: nozzle[name] for name in ("printer_id", "key", "name", "rotate", "flip_h", "flip_v")} == {
                "printer_id": printer,
                "key": "nozzle",
                "name": "Nozzle",
                "rotate": 90,
                "flip_h": False,
                "flip_v": False,
            }

    async def test_refuses_more_cameras_than_an_organisation_may_have(self, organisation: Organisation) -> None:
        printer = printer_of(organisation)
        cameras = [described(printer, channel=n, key=f"camera-{n}") for n in range(3)]
        async with connected(organisation.service.url, organisation.bridge_token) as bridge:
            assert codes(await bridge.announce(*cameras)) == {2: "too_many_cameras"}
            await bridge.send(1, channel=1)

    async def test_refuses_what_is_not_the_bridges_and_takes_the_rest(
        self, organisation: Organisation, issuer: Issuer
    ) -> None:
        owned, printer = printer_of(organisation), printer_of(organisation)
        neighbour = issuer.bridge_token(organisation=organisation.id, bridge=new_id())
        organisation.service.printers.add(neighbour, owned)
        async with uplink(organisation.service.url, organisation.bridge_token, printer) as bridge:
            async with connected(organisation.service.url, neighbour) as other:
                answer = await other.announce(
                    described(printer, channel=0),
                    described("printer_1", channel=1),
                    described(show("printer", new_id()), channel=2),
                    described(owned, channel=3),
                )
                assert codes(answer) == dict.fromkeys((0, 1, 2), "not_its_printer")
                await other.send(1, channel=3)
            await bridge.send(1)  # nothing was taken over

    async def test_lets_the_printer_go_that_left(self, organisation: Organisation) -> None:
        printer = printer_of(organisation)
        async with uplink(organisation.service.url, organisation.bridge_token, printer) as bridge:
            await bridge.send(1)
            organisation.service.printers.remove(organisation.bridge_token, printer)
            assert codes(await bridge.announce(described(printer))) == {0: "not_its_printer"}

    async def test_keeps_what_stays_and_takes_what_is_new(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        first, second = printer_of(organisation), printer_of(organisation)
        async with uplink(organisation.service.url, organisation.bridge_token, first) as bridge:
            await bridge.send(1)
            async with stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream") as pictures:
                assert await pictures.next() == jpeg(1)
                await bridge.announce(described(first), described(second, channel=1))
                await bridge.send(1, channel=1)
                await bridge.send(2)
                assert await pictures.next() == jpeg(2)
                await bridge.announce(described(first))
                await bridge.send_raw(2, jpeg(2), channel=1)  # on its way when the list changed: nobody minds
                await bridge.send(3)
                assert await pictures.next() == jpeg(3)

    async def test_does_without_the_queue_service_for_a_camera_that_it_knows(self, organisation: Organisation) -> None:
        printer, unknown = printer_of(organisation), printer_of(organisation)
        async with uplink(organisation.service.url, organisation.bridge_token, printer) as bridge:
            first_id = bridge.camera_id
        with organisation.service.printers.away():
            async with connected(organisation.service.url, organisation.bridge_token) as bridge:
                answer = await bridge.announce(described(printer), described(unknown, channel=1))
                assert codes(answer) == {1: "unavailable"}
                assert bridge.camera_id == first_id

    async def test_says_when_it_is_not_the_bridges_fault(self, issuer: Issuer) -> None:
        app = create_app(settings_of(jwks_url=issuer.jwks_url))  # without a database, and without a queue service
        async with serving(app) as url:
            token = issuer.bridge_token(organisation=new_id(), bridge=new_id())
            async with connected(url, token) as bridge:
                assert codes(await bridge.announce(described(PRINTER))) == {0: "database_unavailable"}

    async def test_says_when_the_queue_service_is_away(self, database: Database, issuer: Issuer) -> None:
        app = create_app(settings_of(jwks_url=issuer.jwks_url, database_url=SecretStr(database.url_for("camera"))))
        async with serving(app) as url:
            token = issuer.bridge_token(organisation=new_id(), bridge=new_id())
            async with connected(url, token) as bridge:
                assert codes(await bridge.announce(described(PRINTER))) == {0: "unavailable"}

    async def test_goes_on_while_the_database_is_away(
        self, organisation: Organisation, database: Database, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> None:
            raise ConnectionError

        printer = printer_of(organisation)
        app = create_app(
            settings_of(
                jwks_url=issuer.jwks_url,
                database_url=SecretStr(database.url_for("camera")),
                queue_url=organisation.service.printers.url,
            )
        )
        async with serving(app) as url, uplink(url, organisation.bridge_token, printer) as bridge:
            monkeypatch.setattr(app.state.database, "unit_of_work", away)
            answer = await bridge.announce(described(printer), described(PRINTER, channel=1))
            assert codes(answer) == {1: "database_unavailable"}
            await bridge.send(1)

    async def test_a_printer_keeps_its_camera(self, organisation: Organisation, other: Organisation) -> None:
        printer = new_id()
        async with organisation.camera(printer) as bridge, organisation.camera() as second:
            first_id = bridge.camera_id
            assert second.camera_id != first_id
        organisation.bridge_id = new_id()  # the printer moved to another bridge
        async with organisation.camera(printer) as bridge, other.camera(printer) as foreign:
            assert bridge.camera_id == first_id
            assert foreign.camera_id != first_id
        async with organisation.client() as client:
            camera = (await client.get(f"/api/v1/cameras/{first_id}")).json()
        assert camera["bridge_id"] == show("bridge", organisation.bridge_id)


class TestWants:
    async def test_follow_the_first_and_the_last_viewer(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            assert await bridge.want() == {"channel": 0, "fps": 0.0, "idle_interval_s": 30.0}
            async with stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream"):
                assert (await bridge.want())["fps"] == 60
            assert (await bridge.want())["fps"] == 0

    async def test_follow_what_viewers_can_use(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        async with organisation.camera() as bridge:
            await bridge.want()
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            async with stream(viewer, path, params={"max_fps": 4.5}):
                assert (await bridge.want())["fps"] == 4.5
                async with stream(viewer, path, params={"max_fps": 12}):
                    assert (await bridge.want())["fps"] == 12
                assert (await bridge.want())["fps"] == 4.5

    async def test_hold_back_a_bridge_that_sends_far_more(self, hasty: Organisation) -> None:
        clock, count = asyncio.get_running_loop().time, 31
        async with hasty.camera() as bridge:
            began_at = clock()
            for number in range(1, count + 1):
                await bridge.send(number)
            # Twice the 15 pictures a second that are asked for at most.
            assert clock() - began_at >= (count - 1) / 30


class TestSource:
    async def test_is_shown_with_its_reason_until_pictures_come(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        async def until(state: str) -> dict[str, Any]:
            async with asyncio.timeout(30):
                while (camera := (await viewer.get(path)).json())["source_state"] != state:
                    await asyncio.sleep(0.05)
            return dict(camera)

        async with organisation.camera() as bridge:
            path = f"/api/v1/cameras/{bridge.camera_id}"
            unknown = await until("unknown")
            assert (unknown["source_reason"], unknown["source_since"]) == (None, None)
            await bridge.tell("state", channel=0, state="failed", reason="frozen", detail="no picture for 4 s")
            failed = await until("failed")
            assert (failed["status"], failed["source_reason"]) == ("offline", "frozen")
            assert failed["source_detail"] == "no picture for 4 s"
            await bridge.tell("state", channel=0, state="failed", reason="frozen", detail="again")  # no news
            await bridge.send(1)
            works = await until("ok")
            assert (works["status"], works["source_reason"], works["source_detail"]) == ("online", None, None)
            assert works["source_since"] > failed["source_since"]

    async def test_that_says_so_is_not_silent(self, hasty: Organisation) -> None:
        async with hasty.camera() as bridge:
            for _ in range(8):  # the service waits two seconds
                await bridge.tell("state", channel=0, state="failed", reason="unreachable")
                await asyncio.sleep(0.4)
            await bridge.send(1)


FRAME = header(1) + jpeg(1)
VIOLATIONS: dict[str, tuple[bytes | str, int]] = {
    "no JSON": ("{", 4400),
    "another message": ('{"type": "hello"}', 4400),
    "an endless text": ('{"type": "cameras", "cameras": [' + " " * 300_000 + "]}", 4400),
    "a list that names a channel twice": (
        json.dumps({"type": "cameras", "cameras": [described(PRINTER), described(PRINTER, key="b")]}),
        4400,
    ),
    "a key that is none": (
        json.dumps({"type": "cameras", "cameras": [described(PRINTER, key="../camera")]}),
        4400,
    ),
    "a failure without a reason": ('{"type": "state", "channel": 0, "state": "failed"}', 4400),
    "half a header": (FRAME[:19], 4400),
    "another version": (header(1, version=1) + jpeg(1), 4400),
    "flags that nobody knows": (header(1, flags=1) + jpeg(1), 4400),
    "a time beyond the calendar": (header(1, captured_ms=2**63) + jpeg(1), 4400),
    "a sequence that does not grow": (header(3) + jpeg(3), 4410),
    "a picture that is too large": (header(4) + jpeg(4, size=300_001), 4413),
    "a message that is far too large": (header(4) + jpeg(4, size=9 * 1024 * 1024), 1009),
    "no JPEG": (header(4) + b"\x89PNG\r\n\x1a\n" + bytes(192), 4415),
    "nothing": (header(4), 4415),
}


class TestViolations:
    @pytest.mark.parametrize("what", VIOLATIONS)
    async def test_closes_with_a_code(self, organisation: Organisation, viewer: httpx.AsyncClient, what: str) -> None:
        message, code = VIOLATIONS[what]
        async with organisation.camera() as bridge:
            await bridge.send(3)
            with suppress(websockets.ConnectionClosed):  # while we are still sending
                await bridge.connection.send(message)
            assert await bridge.closed() == code
            assert bridge.connection.close_reason
            async with asyncio.timeout(10):
                while (await viewer.get(f"/api/v1/cameras/{bridge.camera_id}")).json()["status"] != "offline":
                    await asyncio.sleep(0.02)

    async def test_a_frame_before_the_last_one_is_acknowledged(self, hasty: Organisation) -> None:
        async with hasty.camera() as bridge:
            with suppress(websockets.ConnectionClosed):
                for number in range(1, 50):  # acknowledged later and later: far more than it is asked for
                    await bridge.send_raw(number, jpeg(number))
            assert await bridge.closed() == 4411

    async def test_a_frame_of_no_camera_is_left_aside(self, organisation: Organisation) -> None:
        async with connected(organisation.service.url, organisation.bridge_token) as bridge:
            await bridge.connection.send(FRAME)
            assert (await bridge.announce())["cameras"] == []


class TestEnd:
    async def test_of_the_oldest_where_a_bridge_has_many(self, organisation: Organisation) -> None:
        async with AsyncExitStack() as stack:
            bridges = [
                await stack.enter_async_context(connected(organisation.service.url, organisation.bridge_token))
                for _ in range(AT_ONCE + 1)
            ]
            assert await bridges[0].closed() == 1006
            for bridge in bridges[1:]:
                assert (await bridge.announce())["cameras"] == []

    async def test_of_one_camera_leaves_the_others(self, organisation: Organisation) -> None:
        first, second = printer_of(organisation), printer_of(organisation)
        url, token = organisation.service.url, organisation.bridge_token
        async with uplink(url, token, first, second) as old, uplink(url, token, second) as new:
            assert await old.refusals() == {1: "taken_over"}
            await old.send(1)
            await new.send(1)
            await old.announce(described(first), described(second, channel=1))
            assert await new.closed() == 4409

    async def test_a_newer_connection_takes_over(self, organisation: Organisation, viewer: httpx.AsyncClient) -> None:
        printer = new_id()
        async with organisation.camera(printer) as old:
            await old.send(1)
            async with stream(viewer, f"/api/v1/cameras/{old.camera_id}/stream") as pictures:
                assert await pictures.next() == jpeg(1)
                async with organisation.camera(printer) as new:
                    assert await old.closed() == 4409
                    assert (await new.want())["fps"] == 60
                    await new.send(1)
                    assert await pictures.next() == jpeg(1)
                    await new.send(2)
                    assert await pictures.next() == jpeg(2)

    async def test_ends_with_the_token(self, organisation: Organisation, issuer: Issuer) -> None:
        token = issuer.bridge_token(organisation=organisation.id, bridge=organisation.bridge_id, lifetime_s=3)
        async with organisation.camera(token=token) as bridge:
            await bridge.send(1)
            assert await bridge.closed() == 4401

    async def test_ends_when_no_camera_is_named(self, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fluxprint_camera.ingest.uplink.NAMELESS_S", 0.2)
        app = create_app(settings_of(jwks_url=issuer.jwks_url))
        token = issuer.bridge_token(organisation=new_id(), bridge=new_id())
        async with serving(app) as url, connected(url, token) as bridge:
            assert (await bridge.announce())["cameras"] == []
            assert await bridge.closed() == 4408

    async def test_ends_when_nothing_comes(self, hasty: Organisation) -> None:
        async with hasty.camera() as bridge:
            assert await bridge.closed() == 4408

    async def test_a_viewer_stays_while_the_bridge_comes_back(
        self, organisation: Organisation, viewer: httpx.AsyncClient
    ) -> None:
        printer = new_id()
        async with organisation.camera(printer) as bridge:
            await bridge.send(1)
            watching = stream(viewer, f"/api/v1/cameras/{bridge.camera_id}/stream")
            pictures = await watching.__aenter__()
            await pictures.next()
        async with organisation.camera(printer) as bridge:
            await bridge.send(2)
            assert await pictures.next() == jpeg(2)
            await watching.__aexit__(None, None, None)

    async def test_is_remembered(self, hasty: Organisation) -> None:
        async with hasty.client() as client:
            async with hasty.camera() as bridge:
                path = f"/api/v1/cameras/{bridge.camera_id}"
                assert (await client.get(path)).json()["last_frame_at"] is None
                await bridge.send(1)
                online = (await client.get(path)).json()
            # When there is no current picture any more, the relay knows nothing of this camera: the database does.
            async with asyncio.timeout(10):
                while (await client.get(f"{path}/snapshot")).status_code == 200:
                    await asyncio.sleep(0.05)
            offline = (await client.get(path)).json()
        assert (online["status"], offline["status"]) == ("online", "offline")
        assert online["last_frame_at"] == offline["last_frame_at"] is not None
