"""One linear history that makes the very tables that the services declare: `alembic check` on a real PostgreSQL."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from fluxprint_local.ports import free_port
from fluxprint_local.postgres import Cluster

ROOT = Path(__file__).resolve().parents[2]
_FAST = (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off"))


def branches(root: Path) -> list[str]:
    """What keeps the history from being one line."""
    script = ScriptDirectory.from_config(Config(str(root / "alembic.ini")))
    heads = script.get_heads()
    faults = [] if len(heads) == 1 else [f"not one head but {len(heads)}: {', '.join(heads)}"]
    return faults + [f"{one.revision}: history branches here" for one in script.walk_revisions() if one.is_branch_point]


async def compare() -> int:
    """`upgrade head`, then `check`, on a new and empty server."""
    with tempfile.TemporaryDirectory(prefix="fluxprint-lint-") as folder:
        cluster = Cluster(data=Path(folder, "data"), port=free_port(), password=secrets.token_hex(16), settings=_FAST)
        cluster.initialise()
        process = cluster.process()
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(process.full_command(), env=process.full_environment(), stdout=log, stderr=log)
        try:
            async with asyncio.timeout(process.ready_timeout_s):
                while not await process.is_ready():
                    await asyncio.sleep(0.02)
            return alembic(cluster.url(), "upgrade", "head") or alembic(cluster.url(), "check")
        finally:
            server.send_signal(process.stop_signal)
            server.wait(process.stop_timeout_s)


def alembic(url: str, *command: str) -> int:
    """Run Alembic as the deployments do."""
    environment = {**os.environ, "MIGRATE_DATABASE_URL": url}
    command = (sys.executable, "-P", "-m", "alembic", *command)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=120).returncode


if __name__ == "__main__":
    if faults := branches(ROOT):
        sys.exit("\n".join(faults))
    sys.exit(asyncio.run(compare()))
