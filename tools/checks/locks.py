"""The locked requirements are those of the packages, with hashes, and the same versions everywhere."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "queue", "camera", "bridge")

#: Which files name the packages of each lock, as `tools/lock` writes it.
SOURCES: dict[str, tuple[str, ...]] = {
    **{service: (f"services/{service}/pyproject.toml",) for service in SERVICES},
    "bootstrap": ("requirements/bootstrap.in",),
    "migrate": ("requirements/migrate.in",),
    "build": ("requirements/build.in",),
    "local": ("deploy/local/pyproject.toml",),
    "octoprint": ("requirements/octoprint.in",),
    "onnx": ("requirements/onnx.in",),
    "dev": (
        "requirements/dev.in", "requirements/onnx.in", "requirements/migrate.in", "deploy/local/pyproject.toml",
        *(f"services/{service}/pyproject.toml" for service in SERVICES),
    ),
}  # fmt: skip
#: OctoPrint pins its own world, and never shares an environment with ours.
APART = {"octoprint"}

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


def findings(root: Path) -> Iterator[str]:
    """Every fault of every lock, as a line for a person."""
    tested = pins((root / "requirements/dev.txt").read_text())
    for lock, sources in SOURCES.items():
        text = (root / f"requirements/{lock}.txt").read_text()
        locked = pins(text)
        yield from (f"requirements/{lock}.txt: {fault}" for fault in faults_of(text))
        for source in sources:
            for wanted in requirements_of(root, source):
                version = locked.get(canonicalize_name(wanted.name))
                if version is None:
                    yield f"requirements/{lock}.txt: {wanted.name}, which {source} needs, is missing; run tools/lock"
                elif not wanted.specifier.contains(version, prereleases=True):
                    yield f"requirements/{lock}.txt: {wanted.name} {version} is not what {source} needs ({wanted})"
        for name, version in locked.items():
            if lock not in APART and tested.get(name, version) != version:
                yield f"requirements/{lock}.txt: {name} {version}, but tested is {tested[name]}; run tools/lock"


def faults_of(text: str) -> Iterator[str]:
    """What is wrong with a lock in itself."""
    for entry in re.split(r"\n(?=[A-Za-z0-9])", text):
        found = _PIN.match(entry)
        if found and "--hash=sha256:" not in entry:
            yield f"{found[1]} has no hash"
    if "://" in text:
        yield "holds an address"


def pins(text: str) -> dict[str, str]:
    """The locked versions by name."""
    return {canonicalize_name(name): version for name, version in _PIN.findall(text)}


def requirements_of(root: Path, source: str) -> list[Requirement]:
    """What a package or an .in file asks for; our own packages are replaced by what they ask for."""
    text = (root / source).read_text()
    if not source.endswith(".toml"):
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return [Requirement(line) for line in lines if line]
    return list(_of_project(root, tomllib.loads(text)["project"], frozenset()))


def _of_project(root: Path, project: dict[str, object], extras: frozenset[str]) -> Iterator[Requirement]:
    dependencies = project.get("dependencies", [])
    optional = project.get("optional-dependencies", {})
    assert isinstance(dependencies, list)
    assert isinstance(optional, dict)
    for line in (*dependencies, *(line for extra in extras for line in optional[extra])):
        wanted = Requirement(line)
        if wanted.name == "fluxprint-common":
            common = tomllib.loads((root / "libs/common/pyproject.toml").read_text())["project"]
            yield from _of_project(root, common, frozenset(wanted.extras))
        else:
            yield wanted


if __name__ == "__main__":
    found = list(findings(ROOT))
    if found:
        sys.exit("\n".join(found))
