"""The settings that each process of the local stack gets."""

from pathlib import Path

import pytest

from fluxprint_local.bootstrap import SetupError
from fluxprint_local.datafolder import Ports, Secrets
from fluxprint_local.stack import Place, Stack

PORTS = Ports(postgres=1, redis=2, auth=3, queue=4, camera=5, traefik=6)
SECRETS = Secrets(
    "pg-secret", "auth-secret", "queue-secret", "camera-secret", "redis-secret", "auth-secret-2", "view-secret"
)


def stack(tmp_path: Path, **environment: str) -> Stack:
    place = Place.from_environment({"FLUXPRINT_DATA_DIR": str(tmp_path), **environment})
    return Stack(place, environment)


class TestPlace:
    def test_has_defaults(self) -> None:
        place = Place.from_environment({})
        assert (place.host, place.port, place.public_url) == ("127.0.0.1", 8080, "http://localhost:8080")
        assert place.data.path.name == ".fluxprint"

    def test_follows_its_settings(self, tmp_path: Path) -> None:
        place = Place.from_environment(
            {"FLUXPRINT_DATA_DIR": str(tmp_path), "FLUXPRINT_HOST": "192.0.2.7", "FLUXPRINT_PORT": "9000"}
        )
        assert place.data.path == tmp_path
        assert place.public_url == place.local_url == "http://192.0.2.7:9000"

    @pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "80 80"])
    def test_a_wrong_port_is_named(self, port: str) -> None:
        with pytest.raises(SetupError, match="FLUXPRINT_PORT"):
            Place.from_environment({"FLUXPRINT_PORT": port})


class TestServiceSettings:
    def test_a_service_gets_its_own_secrets_only(self, tmp_path: Path) -> None:
        for service, own, foreign in (
            ("auth", {"auth-secret"}, {"queue-secret", "camera-secret", "view-secret", "pg-secret"}),
            ("queue", {"queue-secret"}, {"auth-secret", "camera-secret", "view-secret", "pg-secret"}),
            ("camera", {"camera-secret", "view-secret"}, {"auth-secret", "queue-secret", "pg-secret"}),
        ):
            values = " ".join(stack(tmp_path).service_environment(service, PORTS, SECRETS).values())
            assert all(secret in values for secret in own)
            assert not any(secret in values for secret in foreign)

    def test_the_callers_settings_pass_but_not_those_of_the_stack_itself(self, tmp_path: Path) -> None:
        given = {
            "QUEUE_MAX_RELEASES": "3",
            "QUEUE_PORT": "9",
            "AUTH_LOCKOUT_S": "5",
            "FLUXPRINT_ENABLED": "false",
            "FLUXPRINT_PORT": "9000",
        }
        environment = stack(tmp_path, **given).service_environment("queue", PORTS, SECRETS)
        assert environment["QUEUE_MAX_RELEASES"] == "3"
        assert environment["FLUXPRINT_ENABLED"] == "false"
        assert environment["QUEUE_PORT"] == "4"
        assert not {"AUTH_LOCKOUT_S", "FLUXPRINT_PORT", "FLUXPRINT_DATA_DIR"} & environment.keys()

    def test_a_database_and_a_redis_of_ones_own_are_used(self, tmp_path: Path) -> None:
        given = {
            "MIGRATE_DATABASE_URL": "postgresql+asyncpg://owner:pw@db.example:5433/prints?ssl=require",
            "FLUXPRINT_REDIS_URL": "redis://cache.example:6380/1",
        }
        environment = stack(tmp_path, **given).service_environment("auth", PORTS, SECRETS)
        assert environment["AUTH_DATABASE_URL"] == (
            "postgresql+asyncpg://fluxprint_auth:auth-secret@db.example:5433/prints?ssl=require"
        )
        assert environment["FLUXPRINT_REDIS_URL"] == "redis://cache.example:6380/1"

    def test_a_bridge_reads_its_file_which_only_the_owner_can_read_then(self, tmp_path: Path) -> None:
        file = tmp_path / "bridge.env"
        file.write_text("# the shop's printer\nBRIDGE_AUTH_TOKEN=fxb_$1\nOCTOPRINT_URL='http://127.0.0.1:5000'\n")
        environment = stack(tmp_path, FLUXPRINT_PORT="9000").bridge(file).environment
        assert environment["BRIDGE_AUTH_TOKEN"] == "fxb_$1"
        assert environment["OCTOPRINT_URL"] == "http://127.0.0.1:5000"
        assert environment["FLUXPRINT_API_URL"] == "http://127.0.0.1:9000"
        assert file.stat().st_mode & 0o077 == 0
