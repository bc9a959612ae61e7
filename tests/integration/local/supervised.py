"""Run by tests as a program: two stand-ins and a real PostgreSQL under a supervisor, until it is ended."""

import asyncio
import signal
import sys
from pathlib import Path

from fluxprint_local.ports import free_port
from fluxprint_local.postgres import Cluster
from fluxprint_local.supervisor import Supervisor
from support.standins import standin


async def main(folder: Path) -> None:
    cluster = Cluster(data=folder / "postgres", port=free_port(), password="only-for-this-test")
    cluster.initialise()
    journal = folder / "journal"
    async with Supervisor(folder) as supervisor:
        await supervisor.start(cluster.process(), standin("a", free_port(), journal, "parent"))
        await supervisor.start(standin("b", free_port(), journal))
        print("ready", flush=True)
        await asyncio.Event().wait()


for number in (signal.SIGINT, signal.SIGHUP):  # whoever runs the tests in the background may have them ignored
    signal.signal(number, signal.SIG_DFL)
asyncio.run(main(Path(sys.argv[1])))
