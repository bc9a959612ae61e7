"""Which cameras there are: what settings say, what OctoPrint says, and what their addresses mean."""

import asyncio

import pytest
from pydantic import SecretStr, ValidationError

from fluxprint_bridge.camera import discovery
from fluxprint_bridge.camera.config import Address, CameraConfig, key_of, name_of
from fluxprint_bridge.camera.discovery import cameras_of
from fluxprint_bridge.camera.jpeg import is_whole, size_of
from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.settings import CameraEntry, PrinterCameras
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import KeyRefused, OctoPrintError, Unavailable
from fluxprint_local.jpeg import numbered_picture

OCTOPRINT = "http://octopi.local"


def webcam(name: str, stream: str, snapshot: str = "", **more: object) -> dict[str, object]:
    """An entry of OctoPrint 1.11's list."""
    return {"name": name, "displayName": name.title(), "compat": {"stream": stream, "snapshot": snapshot}, **more}


def urls(cameras: list[CameraConfig]) -> dict[str, tuple[str | None, str | None]]:
    return {c.key: (c.stream.url if c.stream else None, c.snapshot.url if c.snapshot else None) for c in cameras}


class TestDiscovery:
    def test_octopi(self) -> None:
        classic = webcam("classic", "/webcam/?action=stream", "http://127.0.0.1:8080/?action=snapshot", rotate90=True)
        found = cameras_of({"webcam": {"webcamEnabled": True, "webcams": [classic]}}, OCTOPRINT)
        assert urls(found) == {
            "default": ("http://octopi.local/webcam/?action=stream", "http://octopi.local:8080/?action=snapshot")
        }
        assert (found[0].name, found[0].rotate, found[0].flip_h, found[0].flip_v) == ("Classic", 270, False, False)

    def test_several(self) -> None:
        webcams = [
            webcam("Nozzle Cam", "http://10.0.0.7/stream", flipH=True, flipV=True),
            webcam("classic", "/webcam/?action=stream"),
            webcam("Default", "http://10.0.0.8/stream"),
        ]
        found = cameras_of({"webcam": {"webcams": webcams}}, OCTOPRINT)
        assert [camera.key for camera in found] == ["nozzle-cam", "default", "webcam-default"]
        assert (found[0].flip_h, found[0].flip_v) == (True, True)

    @pytest.mark.parametrize("default", ["classic", "room", None])
    def test_a_webcam_keeps_its_key_whatever_comes_beside_it_and_is_the_default(self, default: str | None) -> None:
        bed, room = webcam("classic", "http://10.0.0.7/bed"), webcam("room", "http://10.0.0.7/room")
        seen = {
            (camera.key, camera.stream.url)
            for webcams in ([bed], [bed, room], [room])
            for camera in cameras_of({"webcam": {"defaultWebcam": default, "webcams": webcams}}, OCTOPRINT)
            if camera.stream
        }
        assert seen == {("default", "http://10.0.0.7/bed"), ("room", "http://10.0.0.7/room")}

    def test_before_there_were_several(self) -> None:
        found = cameras_of({"webcam": {"streamUrl": "/webcam/?action=stream", "snapshotUrl": ""}}, OCTOPRINT)
        assert urls(found) == {"default": ("http://octopi.local/webcam/?action=stream", None)}

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"webcam": None},
            {"webcam": {"webcams": "classic"}},
            {"webcam": {"webcams": [None, 1, {"compat": []}]}},
            {"webcam": {"streamUrl": ""}},
            {"webcam": {"webcamEnabled": False, "streamUrl": "/webcam/?action=stream"}},
            {"webcam": {"webcams": [webcam("janus", "webrtc://10.0.0.7/janus")]}},
            {"webcam": {"webcams": [webcam("odd", "http://[::1", "http://host:port/")]}},
        ],
    )
    def test_none(self, settings: dict[str, object]) -> None:
        assert cameras_of(settings, OCTOPRINT) == []

    def test_loopback_is_octoprints_machine(self) -> None:
        classic = webcam("classic", "http://localhost:8080/?action=stream")
        there = cameras_of({"webcam": {"webcams": [classic]}}, "http://10.0.0.5:5000")
        here = cameras_of({"webcam": {"webcams": [classic]}}, "http://127.0.0.1:5000")
        assert urls(there) == {"default": ("http://10.0.0.5:8080/?action=stream", None)}
        assert urls(here) == {"default": ("http://localhost:8080/?action=stream", None)}

    def test_names_and_keys_are_ones(self) -> None:
        assert (key_of("Über Cam #2"), key_of("***"), key_of("x" * 90)) == ("ber-cam-2", "camera", "x" * 50)
        assert (name_of("a\nb\x00"), name_of(" "), name_of("n" * 200)) == ("ab", "Camera", "n" * 100)


class Answering(OctoPrintClient):
    """An OctoPrint that answers one thing after the other, and then hangs."""

    def __init__(self, *answers: dict[str, object] | OctoPrintError) -> None:
        super().__init__(OCTOPRINT, SecretStr("key"))
        self._answers = list(answers)
        self.asked_enough = asyncio.Event()

    async def settings(self) -> dict[str, object]:
        if not self._answers:
            self.asked_enough.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, OctoPrintError):
            raise answer
        return answer


class TestLooking:
    async def test_goes_on_whatever_is_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for pause in ("LOOK_EVERY_S", "REFUSED_PAUSE_S", "MAX_BACKOFF_S"):
            monkeypatch.setattr(discovery, pause, 0.001)
        stream: dict[str, object] = {"webcam": {"streamUrl": "/webcam/?action=stream"}}
        octoprint = Answering(
            KeyRefused(403, "no"), Unavailable("booting"), stream, KeyRefused(403, "no"), {"webcam": {"streamUrl": ""}}
        )
        roster = Roster()
        found: list[int] = []

        def take(cameras: list[CameraConfig]) -> None:
            roster.set("printer", cameras)
            found.append(len(roster.cameras()))

        async with octoprint:
            looking = asyncio.create_task(discovery.keep_discovering(octoprint, "printer", take))
            async with asyncio.timeout(30):
                await octoprint.asked_enough.wait()
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        assert found == [1, 0]  # what could not be asked changes nothing


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("/webcam/?action=stream", "http://octopi.local/webcam/?action=stream"),
            ("http://10.0.0.7:8080/?action=stream", "http://10.0.0.7:8080/?action=stream"),
            ("http://me:secret@10.0.0.7/", "http://10.0.0.7/"),
        ],
    )
    def test_an_address(self, url: str, expected: str) -> None:
        configs = PrinterCameras.model_validate({"camera_url": url}).camera_configs(OCTOPRINT)
        assert configs is not None
        assert urls(configs) == {"default": (expected, None)}

    def test_none_and_nothing(self) -> None:
        assert PrinterCameras.model_validate({"camera_url": "none"}).camera_configs(OCTOPRINT) == []
        assert PrinterCameras().camera_configs(OCTOPRINT) is None  # OctoPrint is asked

    def test_several(self) -> None:
        cameras = [
            {"url": "/webcam/?action=stream", "rotate": 180},
            {"key": "nozzle", "url": "http://10.0.0.7/", "user": "me", "password": "secret", "flip_h": True},
        ]
        configs = PrinterCameras.model_validate({"cameras": cameras}).camera_configs(OCTOPRINT)
        assert configs is not None
        assert [(c.key, c.rotate, c.flip_h) for c in configs] == [("default", 180, False), ("nozzle", 0, True)]
        assert configs[1].stream == Address("http://10.0.0.7/", "me", "secret")

    @pytest.mark.parametrize(
        "settings",
        [
            {"cameras": [{"url": "/a"}, {"url": "/b"}]},
            {"cameras": [{"url": "/a"}], "camera_url": "/b"},
            {"cameras": [{"key": "A B", "url": "/a"}]},
            {"cameras": [{"url": "/a", "rotate": 45}]},
            {"camera_url": "rtsp://me:secret@10.0.0.7/"},
            {"camera_url": "http://10.0.0.7:secret/"},
        ],
    )
    def test_nonsense_is_refused_and_not_shown(self, settings: dict[str, object]) -> None:
        with pytest.raises(ValidationError) as refused:
            PrinterCameras.model_validate(settings)
        assert "secret" not in str(refused.value.errors(include_input=False))

    def test_a_password_is_not_shown(self) -> None:
        entry = CameraEntry.model_validate({"url": "http://me:secret@10.0.0.7/", "password": "secret"})
        assert "secret" not in repr(entry) + repr(entry.config(OCTOPRINT))


class TestPictures:
    def test_size_and_end(self) -> None:
        picture = numbered_picture(7)
        assert size_of(picture) == (320, 240)
        assert is_whole(picture + b"\0" * 100)
        assert not is_whole(picture[:-2])

    @pytest.mark.parametrize(
        "broken", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x00", b"\xff\xd8\x00" * 9, b"\xff\xd8" + b"\xff" * 50]
    )
    def test_of_what_is_no_picture(self, broken: bytes) -> None:
        assert size_of(broken) is None
