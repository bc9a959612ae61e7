"""What a local stack keeps between two starts."""

import os
import socket
import stat
from pathlib import Path

import pytest

from fluxprint_local.datafolder import AlreadyRunning, DataFolder


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.path.mkdir(mode=0o700)
    return folder


class TestSecrets:
    def test_are_made_once_and_for_the_owner_only(self, data: DataFolder) -> None:
        made = data.secrets()
        assert data.secrets() == made
        assert len({made.redis_password, made.migrate_auth_password, made.camera_view_token_secret}) == 3
        assert len(made.redis_password) >= 32
        assert stat.S_IMODE((data.path / "secrets.env").stat().st_mode) == 0o600

    def test_one_that_is_missing_is_added_to_the_others(self, data: DataFolder) -> None:
        made = data.secrets()
        file = data.path / "secrets.env"
        file.write_text("\n".join(line for line in file.read_text().splitlines() if "REDIS" not in line))
        again = data.secrets()
        assert again.migrate_auth_password == made.migrate_auth_password
        assert len(again.redis_password) >= 32
        assert again.redis_password != made.redis_password

    def test_the_signing_key_is_made_once_and_for_the_owner_only(self, data: DataFolder) -> None:
        key = data.signing_key()
        text = key.read_text()
        assert text.startswith("-----BEGIN PRIVATE KEY-----")
        assert data.signing_key().read_text() == text
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


class TestPorts:
    def test_stay_the_same(self, data: DataFolder) -> None:
        assert data.choose_ports() == data.choose_ports() == data.ports()

    def test_one_that_is_taken_is_replaced(self, data: DataFolder) -> None:
        before = data.choose_ports()
        with socket.create_server(("127.0.0.1", before.redis)):
            after = data.choose_ports()
        assert after.redis != before.redis
        assert (after.postgres, after.queue) == (before.postgres, before.queue)


class TestLock:
    def test_a_second_owner_is_told_who_the_first_is(self, data: DataFolder) -> None:
        with data.lock("http://localhost:8080"):
            assert data.owner() == (os.getpid(), "http://localhost:8080")
            with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}, http://localhost:8080"):
                data.lock("http://localhost:9090").__enter__()

    def test_is_free_again_afterwards(self, data: DataFolder) -> None:
        with data.lock("http://localhost:8080"):
            pass
        assert data.owner() is None
        with data.lock("http://localhost:9090"):
            assert data.owner() == (os.getpid(), "http://localhost:9090")

    def test_makes_a_folder_that_nobody_else_can_enter(self, tmp_path: Path) -> None:
        with DataFolder(tmp_path / "a/b").lock("http://localhost:8080"):
            assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700
