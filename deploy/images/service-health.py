#!/usr/bin/env python3
"""Health check of a service's container: `service-health PORT`.

A service that answers is left alone, whatever it says: a 503 is shown as unhealthy, and a restart would not bring its
database back. A service that has not answered for a minute, which is three checks, hangs, and is killed here: Docker
never restarts a container for being unhealthy, but `restart:` does once the process has ended.
"""

import os
import signal
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

ANSWER_WITHIN_S = 4
KILL_AFTER_S = 60
SILENT_SINCE = Path("/tmp/silent-since")  # noqa: S108  (a container's own)


def main(port: int) -> int:
    """0 when it is well, else 1; what it said goes to `docker inspect`."""
    connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        sys.stdout.write(answer.read(4096).decode(errors="replace"))
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"no answer: {error!r}")
        if silent_for_s() >= KILL_AFTER_S:
            SILENT_SINCE.unlink()
            kill_service()
        return 1
    finally:
        connection.close()
    SILENT_SINCE.unlink(missing_ok=True)
    return 0 if answer.status == 200 else 1


def silent_for_s() -> float:
    """How long ago the first of these unanswered checks was."""
    if not SILENT_SINCE.exists():
        SILENT_SINCE.touch()
    return time.time() - SILENT_SINCE.stat().st_mtime


def kill_service() -> None:
    """Kill what the container's init (`init: true`) runs; process 1 itself takes no SIGKILL from inside."""
    for status in Path("/proc").glob("[0-9]*/status"):
        if "\nPPid:\t1\n" in status.read_text():
            os.kill(int(status.parent.name), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
