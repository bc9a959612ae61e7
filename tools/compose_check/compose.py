"""One deployment of docker compose, under a project name of its own: other data is not touched."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxprint_local.bootstrap import ROOT

PROJECT = "fluxprint-check"
VERSION = "compose-check"
COMMAND_TIMEOUT_S = 1800
KILLED = """
import os, pathlib, sys
for status in pathlib.Path("/proc").glob("[0-9]*/status"):
    if "\\nPPid:\\t1\\n" in status.read_text():
        os.kill(int(status.parent.name), int(sys.argv[1]))
"""


class CheckFailed(Exception):
    """What was expected did not happen."""


@dataclass(frozen=True)
class Compose:
    """`docker compose` with these files and variables."""

    files: Sequence[Path]
    env_file: Path
    bridge_file: Path

    def run(self, *arguments: str) -> str:
        """The output of a command. Raises `CheckFailed`."""
        files = [part for file in self.files for part in ("--file", str(file))]
        command = ["docker", "compose", "--project-name", PROJECT, "--env-file", str(self.env_file), *files, *arguments]
        return docker(command)

    def container(self, service: str) -> dict[str, object]:
        """What `docker inspect` says."""
        found: list[dict[str, object]] = json.loads(
            docker(["docker", "inspect", self.run("ps", "--all", "--quiet", service).strip()])
        )
        return found[0]

    def variable(self, name: str) -> str:
        """What its env file holds; nothing where it is not set."""
        return self._variables().get(name, "")

    def set_variables(self, changed: Mapping[str, str]) -> None:
        """Change the env file; an empty value takes a line out. It holds with the next `up`."""
        lines = {**self._variables(), **changed}
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items() if value))

    def _variables(self) -> dict[str, str]:
        lines = (line.partition("=") for line in self.env_file.read_text().splitlines())
        return {name: value for name, _, value in lines}

    def create_admin(self, email: str) -> str:
        """The first administrator, as docs/deployment.md makes one; the password that it was given."""
        command = ["python", "-m", "fluxprint_auth", "create-admin", email, "--generate-password"]
        told = self.run("exec", "--no-TTY", "auth", *command)
        return told.partition("password: ")[2].split()[0]

    def signal(self, service: str, number: int) -> None:
        """Send a signal to the service itself, as if something had gone wrong inside: Docker does not know of it."""
        self.run("exec", "--no-TTY", service, "python", "-c", KILLED, str(number))

    def restarts(self, service: str) -> int:
        """How often Docker restarted it."""
        return int(str(self.container(service)["RestartCount"]))

    def wait_restarted(self, service: str, *, within_s: float) -> float:
        """Wait until it was restarted and is healthy; how long that took, in seconds. Raises `CheckFailed`."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            state = self.container(service)
            health = state["State"]["Health"]["Status"]  # type: ignore[index]
            if state["RestartCount"] and health == "healthy":
                return time.monotonic() - began
            time.sleep(1)
        raise CheckFailed(f"{service} was not restarted within {within_s} s")

    def memory(self) -> dict[str, str]:
        """What each container uses now."""
        names = self.run("ps", "--format", "{{.Name}}").split()
        lines = docker(["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names]).splitlines()
        return {name: used for name, used, *_ in (line.split() for line in lines)}

    def image_sizes(self) -> dict[str, str]:
        """In the engine's own count."""
        images = sorted(set(self.run("--profile", "*", "config", "--images").split()))
        size = ["docker", "image", "inspect", "--format", "{{.Size}}"]
        return {image: f"{int(docker([*size, image])) / 1e6:.0f} MB" for image in images}

    def down(self) -> None:
        """Remove containers, networks, volumes and images of this check. Raises `CheckFailed` when something stays."""
        self.run("--profile", "*", "down", "--volumes", "--remove-orphans")
        label = ["--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        for kind in (["ps", "--all"], ["network", "ls"], ["volume", "ls"]):
            if left := docker(["docker", *kind, *label]):
                raise CheckFailed(f"left behind by {kind[0]}: {left}")
        images = [image for image in self.image_sizes() if image.endswith(f":{VERSION}")]
        docker(["docker", "image", "rm", *images])


def docker(command: Sequence[str]) -> str:
    """The output of a docker command. Raises `CheckFailed`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("FLUXPRINT_", "COMPOSE_"))}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise CheckFailed(f"{' '.join(command[:2])} ... {' '.join(command[-4:])}: {done.stderr[-3000:]}")
    return done.stdout
