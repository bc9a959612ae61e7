"""What bridges see: who is let in, what is wanted of them, and why they are closed."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
import websockets
from pydantic import SecretStr

from fluxprint_camera.app import create_app
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.camera import jpeg, settings_of
from support.camera_service import Organisation
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer
from support.uplink import CAPTURED_AT, SUBPROTOCOL, Bridge, stream, uplink

PRINTER = show("printer", new_id())


async def refusal(
    organisation: Organisation, token: str | None, *, printer: str = PRINTER, protocol: bool = True
) -> int:
    """The status that a handshake is refused with."""
    url = f"{organisation.service.url.replace('http', 'ws', 1)}/api/v1/cameras/ingest?printer_id={printer}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(url, subprotocols=[SUBPROTOCOL] if protocol else None, additional_headers=headers)
    return refused.value.response.status_code


async def problem(url: str, token: str) -> tuple[int, str]:
    """The status and the code that a bridge's handshake is refused with."""
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with uplink(url, token, PRINTER):
            pass
    answer = refused.value.response
    return answer.status_code, json.loads(answer.body)["code"]


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

    async def test_refuses_what_is_no_printer_and_another_protocol(self, organisation: Organisation) -> None:
        token = organisation.bridge_token
        assert await refusal(organisation, token, printer="printer_1") == 403
        assert await refusal(organisation, token, printer=show("job", new_id())) == 403
        assert await refusal(organisation, token, protocol=False) == 403

    async def test_refuses_more_cameras_than_an_organisation_may_have(self, organisation: Organisation) -> None:
        first = new_id()
        organisation.service.printers.add(organisation.bridge_token, PRINTER)
        async with organisation.camera(first), organisation.camera():
            assert await refusal(organisation, organisation.bridge_token) == 403
        async with organisation.camera(first) as bridge:
            assert bridge.camera_id.startswith("camera_")

    async def test_refuses_a_printer_of_another_bridge(self, organisation: Organisation, issuer: Issuer) -> None:
        printer = new_id()
        neighbour = issuer.bridge_token(organisation=organisation.id, bridge=new_id())
        assert await refusal(organisation, neighbour, printer=show("printer", printer)) == 403  # nobody's camera yet
        async with organisation.camera(printer) as bridge:
            assert await refusal(organisation, neighbour, printer=show("printer", printer)) == 403
            await bridge.send(1)  # nothing was taken over

    async def test_refuses_the_bridge_that_a_printer_left(self, organisation: Organisation) -> None:
        printer = new_id()
        async with organisation.camera(printer):
            pass
        organisation.service.printers.remove(organisation.bridge_token, show("printer", printer))
        assert await refusal(organisation, organisation.bridge_token, printer=show("printer", printer)) == 403

    async def test_does_without_the_queue_service_for_a_camera_that_it_knows(self, organisation: Organisation) -> None:
        printer = new_id()
        async with organisation.camera(printer) as bridge:
            first_id = bridge.camera_id
        with organisation.service.printers.away():
            async with organisation.camera(printer) as bridge:
                assert bridge.camera_id == first_id

    async def test_says_when_the_queue_service_is_away(self, database: Database, issuer: Issuer) -> None:
        app = create_app(settings_of(jwks_url=issuer.jwks_url, database_url=SecretStr(database.url_for("camera"))))
        async with serving(app) as url:
            token = issuer.bridge_token(organisation=new_id(), bridge=new_id())
            assert await problem(url, token) == (503, "unavailable")

    async def test_says_when_it_is_not_the_bridges_fault(self, issuer: Issuer) -> None:
        app = create_app(settings_of(jwks_url=issuer.jwks_url))  # without a database
        async with serving(app) as url:
            token = issuer.bridge_token(organisation=new_id(), bridge=new_id())
            assert await problem(url, token) == (503, "database_unavailable")

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
            assert await bridge.want() == {"type": "want", "fps": 0.0, "idle_interval_s": 30.0}
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


async def _text(bridge: Bridge, text: str) -> None:
    await bridge.connection.send(text)


async def _header(bridge: Bridge, **changed: object) -> None:
    header = {"type": "frame", "sequence": 1, "captured_at": CAPTURED_AT, "size_bytes": 200, **changed}
    await bridge.connection.send(json.dumps(header))


async def _repeats(bridge: Bridge) -> None:
    await bridge.send(5)
    await bridge.send_raw(5, jpeg(5))


async def _header_twice(bridge: Bridge) -> None:
    await _header(bridge)
    await _header(bridge)


VIOLATIONS: dict[str, tuple[Callable[[Bridge], Awaitable[None]], int]] = {
    "no JSON": (lambda bridge: _text(bridge, "{"), 4400),
    "another message": (lambda bridge: _text(bridge, '{"type": "hello"}'), 4400),
    "an endless header": (lambda bridge: _header(bridge, note="x" * 2000), 4400),
    "a time without a zone": (lambda bridge: _header(bridge, captured_at="2026-11-21T10:00:00"), 4400),
    "a picture without a header": (lambda bridge: bridge.connection.send(jpeg(1)), 4400),
    "a header without a picture": (_header_twice, 4400),
    "a sequence that does not grow": (_repeats, 4410),
    "a picture said to be too large": (lambda bridge: _header(bridge, size_bytes=300_001), 4413),
    "a picture that is too large": (lambda bridge: bridge.send_raw(1, jpeg(1, size=300_001), size_bytes=200), 4413),
    "a message that is far too large": (
        lambda bridge: bridge.send_raw(1, jpeg(1, size=9 * 1024 * 1024), size_bytes=200),
        1009,
    ),
    "no JPEG": (lambda bridge: bridge.send_raw(1, b"\x89PNG\r\n\x1a\n" + bytes(192)), 4415),
    "nothing": (lambda bridge: bridge.send_raw(1, b"", size_bytes=1), 4416),
    "another size": (lambda bridge: bridge.send_raw(1, jpeg(1), size_bytes=199), 4416),
}


class TestViolations:
    @pytest.mark.parametrize("what", VIOLATIONS)
    async def test_closes_with_a_code(self, organisation: Organisation, viewer: httpx.AsyncClient, what: str) -> None:
        violate, code = VIOLATIONS[what]
        async with organisation.camera() as bridge:
            with suppress(websockets.ConnectionClosed):  # while we are still sending
                await violate(bridge)
            assert await bridge.closed() == code
            assert bridge.connection.close_reason
            async with asyncio.timeout(10):
                while (await viewer.get(f"/api/v1/cameras/{bridge.camera_id}")).json()["status"] != "offline":
                    await asyncio.sleep(0.02)


class TestEnd:
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
