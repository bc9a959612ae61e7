"""What the compose files promise, read from the files; `tools/compose-check` proves it on an engine."""

import json
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fluxprint_auth.settings import AuthSettings
from fluxprint_bridge.settings import BridgeSettings
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.settings import ServiceSettings, SettingsError, load, variable_of
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.traefik import Traefik
from fluxprint_queue.settings import QueueSettings
from support.compose import (
    DEVELOPMENT,
    OWN_CERTIFICATE,
    OWN_SIGNING_KEY,
    PRODUCTION,
    Json,
    Missing,
    merged,
    read,
    variables_in,
    without_tags,
)

SETTINGS: dict[str, type[ServiceSettings]] = {"auth": AuthSettings, "queue": QueueSettings, "camera": CameraSettings}
SERVICES = tuple(SETTINGS)
STORES = ("postgres", "redis")
#: What production asks for by name.
DEMANDED = {
    "FLUXPRINT_DOMAIN": "print.example.org",
    **{
        name: secrets.token_hex(32)
        for name in (
            "POSTGRES_PASSWORD",
            "MIGRATE_AUTH_PASSWORD",
            "MIGRATE_QUEUE_PASSWORD",
            "MIGRATE_CAMERA_PASSWORD",
            "REDIS_PASSWORD",
            "CAMERA_VIEW_TOKEN_SECRET",
            "AUTH_SECRET",
        )
    },
}
SIGNING_KEY = {"AUTH_SIGNING_KEY_FILE": "./secrets/signing-key.pem"}
CERTIFICATE = {"TLS_CERTIFICATE_FILE": "./secrets/c.pem", "TLS_KEY_FILE": "./secrets/k.pem"}
#: What an image says itself, or what is one of two ways to say the same.
NOT_PASSED_ON = {
    "HOST", "PORT", "SIGNING_KEY", "SIGNING_KEY_FILE", "PREVIOUS_SIGNING_KEY_FILE", "STORAGE_DIR", "DATA_DIR",
    "OPENAPI_FILE",
}  # fmt: skip


@pytest.fixture(scope="module")
def development() -> Json:
    return merged(DEVELOPMENT, {})


@pytest.fixture(scope="module")
def production() -> Json:
    return merged(PRODUCTION, DEMANDED)


@pytest.fixture(params=["development", "production"])
def either(request: pytest.FixtureRequest) -> Json:
    found: Json = request.getfixturevalue(request.param)
    return found


class TestSpecification:
    def test_every_file_and_every_combination_keeps_to_the_schema(self, tmp_path: Path) -> None:
        documents = {
            **{file: without_tags(read(file)) for file in OWN_CERTIFICATE},
            "development": merged(DEVELOPMENT, {}),
            "production": merged(PRODUCTION, DEMANDED),
            "own": merged(OWN_CERTIFICATE, {**DEMANDED, **CERTIFICATE}),
        }
        files = []
        for name, document in documents.items():
            files.append(tmp_path / f"{name.replace('/', '-')}.json")
            files[-1].write_text(json.dumps(document))
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
        done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize("files", [DEVELOPMENT, PRODUCTION, OWN_CERTIFICATE], ids=lambda files: files[-1])
    def test_docker_compose_reads_them_the_same_way(self, files: tuple[str, ...], tmp_path: Path) -> None:
        if not _has_compose():
            pytest.skip("the compose plugin of docker is not here")
        environment = {**DEMANDED, **CERTIFICATE}
        (tmp_path / "env").write_text("".join(f"{name}={value}\n" for name, value in environment.items()))
        chosen = [part for file in files for part in ("--file", file)]
        command = ["docker", "compose", "--env-file", str(tmp_path / "env"), "--profile", "*", *chosen]
        output = subprocess.run(
            [*command, "config", "--format", "json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        theirs, ours = json.loads(output)["services"], merged(files, environment)["services"]
        assert set(theirs) == set(ours)
        for name, service in ours.items():
            given = {key: value for key, value in (theirs[name].get("environment") or {}).items() if value is not None}
            assert given == service["environment"]
            command = [part.replace("$$", "$") for part in theirs[name].get("command") or []]
            assert command == service.get("command", [])
            assert len(theirs[name].get("ports", [])) == len(service.get("ports", []))
            assert len(theirs[name].get("volumes", [])) == len(service.get("volumes", []))
            assert set(theirs[name]["networks"]) == set(service["networks"])


def _has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False)
    return asked.returncode == 0


class TestWalls:
    def test_the_stores_publish_no_port_and_are_on_the_internal_network_alone(self, either: Json) -> None:
        for store in STORES:
            assert "ports" not in either["services"][store]
            assert set(either["services"][store]["networks"]) == {"internal"}
        assert either["networks"]["internal"] == {"internal": True}

    def test_only_traefik_publishes_ports(self, either: Json) -> None:
        assert [name for name, service in either["services"].items() if "ports" in service] == ["traefik"]

    def test_development_listens_on_loopback_port_8080(self, development: Json) -> None:
        assert development["services"]["traefik"]["ports"] == ["127.0.0.1:8080:8080"]

    def test_production_publishes_http_and_https_alone(self, production: Json) -> None:
        assert production["services"]["traefik"]["ports"] == ["80:8080", "443:8443"]

    def test_the_proxy_network_of_production_is_the_operators(self, production: Json) -> None:
        assert production["networks"]["proxy"] == {"name": "proxy", "external": True}

    def test_traefik_and_the_bridge_cannot_reach_the_stores(self, either: Json) -> None:
        for name in ("traefik", "bridge"):
            assert set(either["services"][name]["networks"]) == {"proxy"}

    def test_every_address_is_a_name_of_our_own(self, either: Json) -> None:
        """Others may be on the proxy network, with an `auth` or a `redis` of theirs."""
        aliases = {
            alias
            for service in either["services"].values()
            if isinstance(service["networks"], dict)
            for network in service["networks"].values()
            for alias in network["aliases"]
        }
        for service in either["services"].values():
            for value in service["environment"].values():
                for host in re.findall(r"(?:http|redis|postgresql\+asyncpg)://(?:[^@/]*@)?([a-z-]+)(?=[:/])", value):
                    assert host in aliases | {"localhost"}, value

    def test_every_container_is_confined(self, either: Json) -> None:
        for name, service in either["services"].items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["init"] is True, name
            assert service.get("cap_add", []) == (["DAC_OVERRIDE"] if name == "traefik" else []), name
            assert "privileged" not in service, name
            assert not any("docker.sock" in str(volume) for volume in service.get("volumes", [])), name


class TestOrder:
    @pytest.mark.parametrize("name", SERVICES)
    def test_a_service_waits_for_the_migration_but_not_for_redis(self, either: Json, name: str) -> None:
        assert either["services"][name]["depends_on"] == {
            "postgres": {"condition": "service_healthy"},
            "migrate": {"condition": "service_completed_successfully"},
            "redis": {"condition": "service_started", "required": False},
        }

    def test_the_migration_runs_once_on_a_healthy_database(self, either: Json) -> None:
        migrate = either["services"]["migrate"]
        assert migrate["depends_on"] == {"postgres": {"condition": "service_healthy"}}
        assert migrate["restart"] == "no"

    def test_the_bridge_is_asked_for(self, either: Json) -> None:
        assert {name: service["profiles"] for name, service in either["services"].items() if "profiles" in service} == {
            "bridge": ["bridge"]
        }


class TestUnattended:
    def test_everything_but_the_migration_is_restarted(self, production: Json) -> None:
        policies = {name: service["restart"] for name, service in production["services"].items()}
        assert policies.pop("migrate") == "no"
        assert set(policies.values()) == {"unless-stopped"}

    def test_every_container_has_bounds_and_rotated_logs(self, production: Json) -> None:
        for name, service in production["services"].items():
            limits = service["deploy"]["resources"]["limits"]
            assert set(limits) == {"cpus", "memory", "pids"}, name
            assert 0 < float(limits["cpus"]) <= 1, name  # more than the machine has is refused, and it may have one
            assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name

    def test_what_has_no_check_in_its_image_is_checked_every_30_s(self, either: Json) -> None:
        for name in ("traefik", *STORES):
            check = either["services"][name]["healthcheck"]
            assert (check["interval"], check["retries"]) == ("30s", 3), name
            assert not {"curl", "wget"} & set(check["test"]), name


class TestSecrets:
    @pytest.mark.parametrize("name", DEMANDED)
    def test_production_demands_each_by_name(self, name: str) -> None:
        for value in ({}, {name: ""}):
            given = {key: value for key, value in DEMANDED.items() if key != name}
            with pytest.raises(Missing, match=f"^{name}: set it in .env"):
                merged(PRODUCTION, {**given, **value})

    @pytest.mark.parametrize("name", CERTIFICATE)
    def test_a_certificate_of_ones_own_is_demanded_by_name(self, name: str) -> None:
        with pytest.raises(Missing, match=f"^{name}: set it in .env"):
            merged(OWN_CERTIFICATE, {**DEMANDED, **{k: v for k, v in CERTIFICATE.items() if k != name}})

    def test_nothing_of_development_is_left_in_production(self, production: Json, development: Json) -> None:
        assert "insecure" in json.dumps(development)
        text = json.dumps(production)
        assert not re.search("insecure|localhost|development|http://fluxprint-traefik", text)

    def test_the_signing_key_is_made_by_auth_itself(self, either: Json) -> None:
        auth = either["services"]["auth"]
        assert not {"command", "volumes", "secrets"} & set(auth)
        assert "AUTH_SIGNING_KEY_FILE" not in auth["environment"]

    def test_a_signing_key_of_ones_own_is_a_file(self) -> None:
        own = merged(OWN_SIGNING_KEY, {**DEMANDED, **SIGNING_KEY})
        assert own["services"]["auth"]["secrets"] == ["signing-key"]
        assert own["secrets"]["signing-key"] == {"file": SIGNING_KEY["AUTH_SIGNING_KEY_FILE"]}
        assert own["services"]["auth"]["environment"]["AUTH_SIGNING_KEY_FILE"] == "/run/secrets/signing-key"
        with pytest.raises(Missing, match=r"^AUTH_SIGNING_KEY_FILE: set it in \.env"):
            merged(OWN_SIGNING_KEY, DEMANDED)

    def test_no_secret_stands_in_a_command_line(self, either: Json) -> None:
        for service in either["services"].values():
            text = json.dumps([service.get("command"), service.get("healthcheck")])
            assert "insecure" not in text
            assert not any(value in text for value in DEMANDED.values() if len(value) == 64)


class TestSettings:
    """Each service's own settings class reads what its container gets."""

    @pytest.fixture
    def key_file(self, tmp_path: Path) -> Path:
        file = tmp_path / "signing-key.pem"
        file.touch(mode=0o600)
        key = ec.generate_private_key(ec.SECP256R1())
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,  # as `openssl ecparam -genkey` writes it
                serialization.NoEncryption(),
            )
        )
        return file

    @staticmethod
    def given(monkeypatch: pytest.MonkeyPatch, service: Json, key_file: Path) -> None:
        for name in ("AUTH_SIGNING_KEY", "QUEUE_STORAGE_DIR", "FLUXPRINT_PORT", "FLUXPRINT_DATA_DIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in service["environment"].items():
            monkeypatch.setenv(name, str(key_file) if name == "AUTH_SIGNING_KEY_FILE" else value)
        if "QUEUE_AUTH_URL" in service["environment"]:
            monkeypatch.setenv("QUEUE_STORAGE_DIR", "/var/lib/fluxprint")  # the image says so

    @pytest.mark.parametrize("name", SERVICES)
    def test_they_are_accepted(self, either: Json, name: str, monkeypatch: pytest.MonkeyPatch, key_file: Path) -> None:
        self.given(monkeypatch, either["services"][name], key_file)
        settings = load(SETTINGS[name])
        expected = either["services"][name]["environment"]
        assert settings.environment == expected["FLUXPRINT_ENVIRONMENT"]
        assert settings.redis_url is not None

    @pytest.mark.parametrize("name", SERVICES)
    def test_the_secrets_of_development_are_refused_in_production(
        self, development: Json, name: str, monkeypatch: pytest.MonkeyPatch, key_file: Path
    ) -> None:
        self.given(monkeypatch, development["services"][name], key_file)
        monkeypatch.setenv("FLUXPRINT_ENVIRONMENT", "production")
        with pytest.raises(SettingsError) as refused:
            load(SETTINGS[name])
        assert f"{name.upper()}_DATABASE_URL" in str(refused.value)
        assert "FLUXPRINT_REDIS_URL" in str(refused.value)

    @pytest.mark.parametrize("name", SERVICES)
    def test_every_setting_can_be_set(self, name: str) -> None:
        cls = SETTINGS[name]
        service = read("docker-compose.yml")["services"][name]
        missing = {variable_of(cls, field) for field in cls.model_fields} - set(service["environment"])
        assert missing <= {f"{name.upper()}_{suffix}" for suffix in NOT_PASSED_ON}, "pass it on in docker-compose.yml"

    @pytest.mark.parametrize("name", SERVICES)
    def test_what_the_operator_sets_arrives(self, name: str) -> None:
        variable = f"{name.upper()}_DATABASE_POOL_SIZE"
        for value, expected in (({variable: "7"}, "7"), ({}, None)):
            service = merged(PRODUCTION, {**DEMANDED, **value})["services"][name]
            assert service["environment"].get(variable) == expected

    @pytest.mark.parametrize("files", [DEVELOPMENT, PRODUCTION], ids=["development", "production"])
    def test_a_bridge_accepts_what_it_gets_beside_its_own_file(
        self, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environment = merged(files, DEMANDED)["services"]["bridge"]["environment"]
        own = {
            "BRIDGE_AUTH_TOKEN": "fxb_" + "x" * 20,
            "OCTOPRINT_URL": "http://host.docker.internal:5000",
            "OCTOPRINT_API_KEY": "key",
        }
        for name, value in {**own, **environment}.items():
            monkeypatch.setenv(name, value)
        assert load(BridgeSettings).api_v1_url.endswith("/api/v1")

    def test_strangers_register_in_production_only_where_it_was_said(self) -> None:
        for files, given, expected in (
            (PRODUCTION, {}, "false"),
            (PRODUCTION, {"AUTH_REGISTRATION_ENABLED": "true"}, "true"),
            (DEVELOPMENT, {}, None),
        ):
            environment = merged(files, {**DEMANDED, **given})["services"]["auth"]["environment"]
            assert environment.get("AUTH_REGISTRATION_ENABLED") == expected

    def test_every_variable_is_in_the_example(self) -> None:
        shown = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
        for file in {*OWN_CERTIFICATE, *OWN_SIGNING_KEY}:
            assert variables_in(file) <= shown, file


class TestTraefik:
    def test_its_options_are_those_of_the_local_stack(self, either: Json) -> None:
        local = Traefik(host="127.0.0.1", port=1, internal_port=2, services={"auth": "x"}).process().command
        options = {}
        for option in local[1:]:
            name, _, value = option.removeprefix("--").partition("=")
            options[f"TRAEFIK_{name.upper().replace('.', '_')}"] = value
        differ = {
            "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS",
            "TRAEFIK_ENTRYPOINTS_INTERNAL_ADDRESS",
            "TRAEFIK_PROVIDERS_FILE_FILENAME",
            # On one machine nobody is waited for; in containers streams have the default of 10 s to end.
            "TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_LIFECYCLE_GRACETIMEOUT",
        }
        environment = either["services"]["traefik"]["environment"]
        for name, value in options.items():
            if name not in differ:
                assert environment[name] == value, name

    def test_uploads_have_the_same_time_over_https(self, production: Json) -> None:
        timeout = "TRAEFIK_ENTRYPOINTS_{}_TRANSPORT_RESPONDINGTIMEOUTS_READTIMEOUT"
        environment = production["services"]["traefik"]["environment"]
        assert environment[timeout.format("WEBSECURE")] == environment[timeout.format("WEB")]

    def test_with_a_certificate_of_ones_own_nobody_is_asked_for_one(self) -> None:
        environment = merged(OWN_CERTIFICATE, {**DEMANDED, **CERTIFICATE})["services"]["traefik"]["environment"]
        assert environment["TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_TLS_CERTRESOLVER"] == ""
