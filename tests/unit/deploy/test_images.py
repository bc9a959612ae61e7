"""What the images promise, read from the Dockerfile; `tools/compose-check` builds and runs them."""

import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch

import pytest

from fluxprint_local.bootstrap import ROOT
from support.compose import DEVELOPMENT, merged

DOCKERFILE = ROOT / "deploy/images/Dockerfile"
SERVICES = ("auth", "queue", "camera", "bridge")
TARGETS = (*SERVICES, "migrate")


@dataclass
class Stage:
    """One stage of the Dockerfile: what it begins with, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]

    def last(self, instruction: str) -> str:
        return self.all(instruction)[-1]

    def sources(self) -> list[str]:
        """What it copies from the repository."""
        copied = [shlex.split(value) for value in self.all("COPY") if "--from=" not in value]
        return [word for words in copied for word in words[:-1] if not word.startswith("--")]


def _stages() -> dict[str, Stage]:
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    stages: dict[str, Stage] = {}
    for line in text.splitlines():
        if line.startswith("FROM"):
            _, base, _, name = line.split()
            stages[name] = Stage(base)
        elif line and not line.startswith("#"):
            instruction, _, value = line.partition(" ")
            stages[name].steps.append((instruction, value))
    return stages


STAGES = _stages()


def everything_in(target: str) -> list[str]:
    """What a target takes from the repository, in its own stage and in those it copies or mounts from."""
    stage = STAGES[target]
    parts = set(re.findall(r"(?:--from=|from=)([a-z-]+)", str(stage.steps)))
    if stage.base in STAGES:
        parts.add(stage.base)
    return stage.sources() + [source for part in sorted(parts) for source in everything_in(part)]


class TestDockerfile:
    def test_it_has_an_image_for_each_process(self) -> None:
        built = {
            service["build"]["target"] for service in merged(DEVELOPMENT, {})["services"].values() if "build" in service
        }
        assert built == set(TARGETS) <= set(STAGES)

    def test_it_needs_no_frontend_of_its_own(self) -> None:
        assert not re.search("^# *syntax", DOCKERFILE.read_text(), re.IGNORECASE)

    def test_whatever_is_copied_is_there_and_is_let_into_the_build(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert next(line for line in ignored if not line.startswith(("#", "!"))) == "**"
        let_in = [line[1:] for line in ignored if line.startswith("!")]
        for stage in STAGES.values():
            for source in stage.sources():
                assert (ROOT / source).exists(), source
                inside = [f"{source}/src", f"{source}/pyproject.toml"] if (ROOT / source / "src").is_dir() else [source]
                for path in inside:
                    assert any(fnmatch(path, pattern) for pattern in let_in), path

    @pytest.mark.parametrize(
        "secret", [".env", ".env.bridge", "secrets/signing-key.pem", ".fluxprint/secrets.env", ".git/config"]
    )
    def test_nothing_private_is_let_into_the_build(self, secret: str) -> None:
        let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        assert not any(fnmatch(secret, pattern) or secret.startswith(f"{pattern}/") for pattern in let_in)

    def test_packages_are_installed_by_their_hashes_alone(self) -> None:
        installs = [
            value for stage in STAGES.values() for value in stage.all("RUN") if "install" in value and "pip" in value
        ]
        assert len(installs) == len(TARGETS) + 1 + len(SERVICES)
        for command in installs:
            assert "--require-hashes" in command or {"--no-deps", "--no-index"} <= set(command.split()), command
        for command in (value for stage in STAGES.values() for value in stage.all("RUN") if "pip wheel" in value):
            assert {"--no-deps", "--no-build-isolation"} <= set(command.split()), command

    def test_its_base_is_named_by_version_and_distribution(self) -> None:
        outside = {stage.base for stage in STAGES.values()} - set(STAGES)
        assert outside == {"python:3.11-slim-bookworm"}


class TestImages:
    @pytest.mark.parametrize("target", TARGETS)
    def test_it_runs_as_a_user_without_rights(self, target: str) -> None:
        assert STAGES[target].last("USER") == "10001:10001"
        instructions = [name for name, _ in STAGES[target].steps]
        assert instructions.index("USER") > max(i for i, name in enumerate(instructions) if name in {"RUN", "COPY"})

    @pytest.mark.parametrize("target", SERVICES)
    def test_it_holds_its_own_room_and_the_common_one_and_no_other(self, target: str) -> None:
        rooms = {
            source
            for source in everything_in(target)
            if source.startswith(("services/", "libs/", "alembic", "deploy/local"))
        }
        assert rooms == {f"services/{target}", "libs/common"}

    def test_the_migration_holds_no_service(self) -> None:
        assert set(everything_in("migrate")) == {"requirements/migrate.txt", "alembic", "alembic.ini"}

    @pytest.mark.parametrize("target", TARGETS)
    def test_its_dependencies_are_its_own_and_come_before_its_sources(self, target: str) -> None:
        locks = {source for source in everything_in(target) if source.startswith("requirements/")}
        assert locks - {"requirements/build.txt"} == {f"requirements/{target}.txt"}
        name, value = STAGES[target].steps[0]
        assert (name, value) == ("COPY", f"--from={target}-dependencies /opt/fluxprint /opt/fluxprint")
        assert STAGES[f"{target}-dependencies"].sources() == [f"requirements/{target}.txt"]

    def test_the_bridge_carries_no_web_framework_and_no_database(self) -> None:
        lock = (ROOT / "requirements/bridge.txt").read_text()
        assert not re.search(r"^(fastapi|starlette|uvicorn|sqlalchemy|asyncpg)\b", lock, re.MULTILINE)

    @pytest.mark.parametrize("target", SERVICES)
    def test_it_is_checked_every_30_s_without_tools_of_others(self, target: str) -> None:
        check = STAGES[target].last("HEALTHCHECK")
        assert "--interval=30s" in check
        assert "--retries=3" in check
        assert not re.search("curl|wget", check)

    @pytest.mark.parametrize("target", ["auth", "queue", "camera"])
    def test_it_listens_where_it_is_checked_and_where_traefik_looks(self, target: str) -> None:
        stage = STAGES[target]
        port = stage.last("EXPOSE")
        assert f'CMD ["service-health", "{port}"]' in stage.last("HEALTHCHECK")
        assert f"{target.upper()}_HOST=0.0.0.0 {target.upper()}_PORT={port}" in re.sub(
            r"\s+", " ", str(stage.all("ENV"))
        )
        traefik = merged(DEVELOPMENT, {})["services"]["traefik"]["environment"]
        assert traefik[f"{target.upper()}_URL"] == f"http://fluxprint-{target}:{port}"

    @pytest.mark.parametrize("target", SERVICES)
    def test_it_starts_as_everywhere(self, target: str) -> None:
        assert STAGES[target].last("CMD") == f'["python", "-P", "-m", "fluxprint_{target}"]'
        command = merged(DEVELOPMENT, {})["services"][target].get("command")
        assert command is None or command[-1].endswith(f"exec python -P -m fluxprint_{target}\n")

    def test_data_lies_in_volumes_that_the_user_owns(self) -> None:
        prepared = " ".join(STAGES["python"].all("RUN"))
        assert "--owner fluxprint --group fluxprint --mode 700 /var/lib/fluxprint" in re.sub(r"\s+", " ", prepared)
        services = merged(DEVELOPMENT, {})["services"]
        for name in ("queue", "bridge"):
            assert [volume.split(":")[1] for volume in services[name]["volumes"]] == ["/var/lib/fluxprint"]
