"""The bridge's environment: what starts, and what is refused by name."""

from pathlib import Path

import pytest

from fluxprint_bridge import identity
from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.settings import BridgeSettings
from fluxprint_common.settings import SettingsError, load

GOOD = {
    "FLUXPRINT_API_URL": "https://print.test",
    "BRIDGE_AUTH_TOKEN": "fxb_0123456789abcdef0123456789abcdef",
    "OCTOPRINT_URL": "http://octopi.local",
    "OCTOPRINT_API_KEY": "0123456789ABCDEF",
}


def settings(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> BridgeSettings:
    environment = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    for name in ("FLUXPRINT_API_URL", "BRIDGE_AUTH_TOKEN", "OCTOPRINT_URL", "OCTOPRINT_API_KEY", *changes):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(BridgeSettings)


class TestSettings:
    def test_the_least(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = settings(monkeypatch)
        assert loaded.api_v1_url == "https://print.test/api/v1"
        assert [printer.octoprint_url for printer in loaded.printers()] == ["http://octopi.local"]

    @pytest.mark.parametrize("url", ["https://a.test/api/v1", "https://a.test/api/v1/", "https://a.test/"])
    def test_the_api_with_or_without_its_path(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        assert settings(monkeypatch, FLUXPRINT_API_URL=url).api_v1_url == "https://a.test/api/v1"

    @pytest.mark.parametrize("name", list(GOOD))
    def test_what_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        with pytest.raises(SettingsError, match=name):
            settings(monkeypatch, **{name: None})

    def test_plain_http_is_refused_beyond_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SettingsError, match=r"FLUXPRINT_API_URL.*BRIDGE_ALLOW_HTTP"):
            settings(monkeypatch, FLUXPRINT_API_URL="http://print.test")
        assert settings(monkeypatch, FLUXPRINT_API_URL="http://print.test", BRIDGE_ALLOW_HTTP="true")
        assert settings(monkeypatch, FLUXPRINT_API_URL="http://127.0.0.1:8080")

    def test_a_misspelt_variable_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SettingsError, match="BRIDGE_POLLS"):
            settings(monkeypatch, BRIDGE_POLLS="3")

    def test_no_secret_in_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SettingsError) as refused:
            settings(monkeypatch, BRIDGE_AUTH_TOKEN="short-secret")
        assert "short-secret" not in str(refused.value)


class TestCamera:
    def test_what_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = settings(
            monkeypatch,
            CAMERA_URL="/webcam/?action=stream",
            CAMERA_SNAPSHOT_URL="http://10.0.0.7/snapshot",
            CAMERA_USER="me",
            CAMERA_PASSWORD="secret",
            CAMERA_ROTATE="180",
            CAMERA_FLIP_V="true",
        )
        [printer] = loaded.printers()
        assert printer.camera_configs(printer.octoprint_url) == [
            CameraConfig(
                key="default",
                name="Camera",
                stream=Address("http://octopi.local/webcam/?action=stream", "me", "secret"),
                snapshot=Address("http://10.0.0.7/snapshot", "me", "secret"),
                rotate=180,
                flip_v=True,
            )
        ]

    @pytest.mark.parametrize(("url", "cameras"), [(None, None), ("", None), ("none", [])])
    def test_none_or_octoprints(self, monkeypatch: pytest.MonkeyPatch, url: str | None, cameras: object) -> None:
        [printer] = settings(monkeypatch, CAMERA_URL=url).printers()
        assert printer.camera_configs(printer.octoprint_url) == cameras

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("CAMERA_URL", "rtsp://me:secret@10.0.0.7/"),
            ("CAMERA_SNAPSHOT_URL", "http://me:secret@/"),
            ("CAMERA_ROTATE", "45"),
        ],
    )
    def test_nonsense_is_named_and_not_shown(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=name) as refused:
            settings(monkeypatch, **{"CAMERA_URL": "http://10.0.0.7/", name: value}).printers()
        assert "secret" not in str(refused.value)


class TestTheTokenOfAPairedBridge:
    TOKEN = "fxb_" + "8" * 49

    def paired(self, folder: Path, content: str = TOKEN, mode: int = 0o600) -> str:
        file = folder / identity.FILE
        file.touch(mode=mode)
        file.chmod(mode)
        file.write_text(content)
        return str(folder)

    def test_is_found_in_the_data_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        loaded = settings(monkeypatch, BRIDGE_AUTH_TOKEN=None, BRIDGE_DATA_DIR=self.paired(tmp_path))
        assert loaded.bridge_token().get_secret_value() == self.TOKEN
        assert self.TOKEN not in repr(loaded)

    def test_gives_way_to_one_that_is_set(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        loaded = settings(monkeypatch, BRIDGE_DATA_DIR=self.paired(tmp_path))
        assert loaded.bridge_token().get_secret_value() == GOOD["BRIDGE_AUTH_TOKEN"]

    def test_is_refused_where_others_may_read_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        folder = self.paired(tmp_path, mode=0o640)
        with pytest.raises(SettingsError, match=r"BRIDGE_AUTH_TOKEN: .* open to others .*chmod 600"):
            settings(monkeypatch, BRIDGE_AUTH_TOKEN=None, BRIDGE_DATA_DIR=folder)

    @pytest.mark.parametrize("content", ["", "something else", "\u00e9"])
    def test_is_refused_where_it_is_none(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
        with pytest.raises(SettingsError, match=r"BRIDGE_AUTH_TOKEN: .* holds no bridge token"):
            settings(monkeypatch, BRIDGE_AUTH_TOKEN=None, BRIDGE_DATA_DIR=self.paired(tmp_path, content))

    def test_that_is_not_there_is_to_be_had_by_pairing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="python -m fluxprint_bridge pair"):
            settings(monkeypatch, BRIDGE_AUTH_TOKEN=None, BRIDGE_DATA_DIR=str(tmp_path))


class TestSeveralPrinters:
    FILE = """
        [[printers]]
        id = "printer_a"
        octoprint_url = "http://a.local"
        octoprint_api_key = "KEY-OF-A"
        camera_url = "http://a.local/webcam/?action=stream"

        [[printers]]
        id = "printer_b"
        octoprint_url = "http://b.local"
        octoprint_api_key = "KEY-OF-B"
    """

    def read(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> list[str | None]:
        file = tmp_path / "printers.toml"
        file.write_text(content)
        loaded = settings(monkeypatch, OCTOPRINT_URL=None, OCTOPRINT_API_KEY=None, BRIDGE_CONFIG=str(file))
        return [printer.id for printer in loaded.printers()]

    def test_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert self.read(monkeypatch, tmp_path, self.FILE) == ["printer_a", "printer_b"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("octoprint_url", "octoprnt_url"), "octoprint_url"),
            (('id = "printer_b"', ""), "an id of its own"),
            (("printer_b", "printer_a"), "an id of its own"),
            (("[[printers]]", "[[printers"), "not TOML"),
        ],
    )
    def test_what_is_wrong_with_it_is_said(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: tuple[str, str], message: str
    ) -> None:
        with pytest.raises(SettingsError, match=f"BRIDGE_CONFIG.*{message}") as refused:
            self.read(monkeypatch, tmp_path, self.FILE.replace(*change))
        assert "KEY-OF" not in str(refused.value)
