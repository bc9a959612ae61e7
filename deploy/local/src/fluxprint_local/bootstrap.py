"""Makes the virtual environments that FluxPrint runs in, from hash-locked requirements.

Standard library only, and readable by a Python older than the one it needs: the `fluxprint`
script imports this before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
OLDEST_PYTHON = (3, 11)
INSTALL_TIMEOUT_S = 1800


class SetupError(Exception):
    """What a person can mend; the message names what is wrong and the command or setting that mends it."""


def rooms() -> list[Path]:
    """The packages of this repository, which the development environment holds as editable installs."""
    patterns = ("libs/common", "services/*", "deploy/local")
    return [file.parent for pattern in patterns for file in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))]


def make_environment(target: Path, requirements: Path, *, editable: Sequence[Path] = ()) -> Path:
    """Return the Python of the virtual environment `target`, made or renewed where something changed.

    `requirements` carries versions and hashes (`tools/lock` writes it); `editable` are folders of
    packages whose dependencies it covers. Several processes may ask at the same time: one works,
    the others wait. Raises `SetupError`.
    """
    python = target / "bin" / "python"
    stamp = target / ".fluxprint-stamp"

    def is_current() -> bool:
        return python.exists() and stamp.is_file() and stamp.read_text() == fingerprint()

    def fingerprint() -> str:
        # Scripts and editable installs hold absolute paths, so a moved clone is another environment.
        digest = hashlib.sha256(f"{target}\n{python.resolve()}\n".encode())
        for file in (requirements, *(folder / "pyproject.toml" for folder in editable)):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    if is_current():
        return python
    try:
        with _only_one(target):
            if not is_current():
                print(f"Setting up {target.name} (once) ...", file=sys.stderr, flush=True)
                _install(target, python, requirements, editable)
                stamp.write_text(fingerprint())
    except PermissionError as error:
        raise SetupError(f"{error.filename} cannot be written by this user; run as the owner of {ROOT}") from None
    return python


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    with target.with_name(target.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(target: Path, python: Path, requirements: Path, editable: Sequence[Path]) -> None:
    uv = shutil.which("uv", path=f"{ROOT / '.venv/bin'}:{os.environ.get('PATH', os.defpath)}")
    if uv is None:
        uv = _uv_by_pip(target, python)
    elif not python.exists():
        shutil.rmtree(target, ignore_errors=True)  # one that was interrupted, or whose Python is gone
        _run(uv, "venv", "--quiet", "--python", _python_for(uv), str(target))
    install = (uv, "pip", "install", "--quiet", "--python", str(python))
    # Compiled once, here: where Python may not keep bytecode, each process would compile it all again.
    _run(*install, "--compile-bytecode", "--require-hashes", "-r", str(requirements))
    if editable:
        folders = [argument for folder in editable for argument in ("-e", str(folder))]
        _run(*install, "--no-deps", "--no-build-isolation", *folders)


def _uv_by_pip(target: Path, python: Path) -> str:
    """Install uv into `target` with whatever brings pip: an install by pip alone takes ten times as long."""
    base = _python_for(None)
    locked = ("install", "--quiet", "--require-hashes", "-r", str(ROOT / "requirements/bootstrap.txt"))
    if _has_module(base, "ensurepip"):
        _run(base, "-m", "venv", str(target))
        _run(str(python), "-m", "pip", *locked)
    elif _has_module(base, "pip") and _has_module(base, "venv"):
        _run(base, "-m", "venv", "--without-pip", str(target))
        _run(base, "-m", "pip", "--python", str(python), *locked)
    else:
        raise SetupError(
            "this Python can neither make a virtual environment with pip nor find uv.\n"
            "  Debian, Ubuntu: apt-get install python3-venv\n"
            "  elsewhere:      install uv, then run this again"
        )
    return str(target / "bin" / "uv")


def _python_for(uv: str | None) -> str:
    if sys.version_info >= OLDEST_PYTHON:
        return sys.executable
    for minor in range(14, OLDEST_PYTHON[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and _has_module(found, "sys"):
            return found
    if uv:
        return ">=3.11"  # uv brings one
    raise SetupError(
        "Python 3.11 or newer is needed, this is {}.{}.\n".format(*sys.version_info)
        + "  Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv\n  macOS: brew install python"
    )


def _has_module(python: str, name: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(name) is not None
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}}
    home_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for variable, name in (("UV_CACHE_DIR", "uv"), ("PIP_CACHE_DIR", "pip")):
        if not _writable(home_cache / name):
            environment.setdefault(variable, str(ROOT / ".cache" / name))
    try:
        subprocess.run(command, env=environment, check=True, timeout=INSTALL_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{error}\n  The lines above say why. With a network, run the same command again.") from None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def main(arguments: Sequence[str]) -> None:
    """Prepare `.venv` and become `python -m fluxprint_local` in it."""
    try:
        python = make_environment(ROOT / ".venv", ROOT / "requirements/dev.txt", editable=rooms())
    except SetupError as error:
        sys.exit(f"fluxprint: {error}")
    # -P: the folder that this is run from must not shadow a module.
    os.execv(python, [str(python), "-P", "-m", "fluxprint_local", *arguments])
