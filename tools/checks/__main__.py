"""Every check of `make lint`, two at a time. A failing one shows what it said; the exit code is honest."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
CODE = ("libs", "services", "deploy", "docs/model", "tests", "tools", "alembic")


@dataclass(frozen=True)
class Check:
    """One program that ends with 0 where all is well."""

    name: str
    command: tuple[str, ...]


def ours(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"tools.{module}", *arguments)


# The longest first: the others run beside it.
CHECKS = (
    # In one process: mypy gives its workers up where a busy machine starts them slowly.
    Check("types", (sys.executable, "-m", "mypy", "--no-error-summary", *CODE)),
    Check("migrations", ours("checks.migrations")),
    Check("openapi", ours("openapi_document", "check")),
    Check("roles", ours("roles", "check")),
    Check("walls", ("lint-imports", "--config", ".importlinter", "--no-cache")),
    Check("style", ("ruff", "check", "--quiet", ".")),
    Check("format", ("ruff", "format", "--check", "--quiet", ".")),
    Check("tree", ours("checks.tree")),
    Check("locks", ours("checks.locks")),
    Check("settings", ours("checks.settings")),
)


def run(check: Check) -> bool:
    """Whether it passed; prints one line, and what it said where it did not."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            check.command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        passed, said = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired:
        passed, said = False, f"still running after {TIMEOUT_S} s"
    line = f"{'ok  ' if passed else 'FAIL'} {check.name:<11} {time.monotonic() - started:5.1f} s"
    print(line if passed else f"{line}\n{said.rstrip()}", flush=True)
    return passed


def main(names: list[str]) -> None:
    unknown = set(names) - {check.name for check in CHECKS}
    if unknown:
        sys.exit(f"no such check: {', '.join(sorted(unknown))}; there are: {', '.join(c.name for c in CHECKS)}")
    wanted = [check for check in CHECKS if not names or check.name in names]
    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(run, wanted))
    failed = [check.name for check, good in zip(wanted, passed, strict=True) if not good]
    if failed:
        sys.exit(f"lint: {', '.join(failed)} failed; one alone: ./fluxprint lint {failed[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
