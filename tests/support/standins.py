"""Small programs for the supervisor to run: they answer on a port, and can be told to behave badly."""

import sys
from pathlib import Path

from fluxprint_local.process import Process, is_healthy

_PROGRAM = """
import http.server, os, pathlib, signal, subprocess, sys
name, port, journal, conduct = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
def note(what):
    with open(journal, "a") as file:
        file.write(f"{what} {name} {os.getpid()}\\n")
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in conduct else stop)
if "broken" in conduct:
    sys.exit("the setting FOO is missing")
if "parent" in conduct:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(journal, "a") as file:
        file.write(f"child {name} {child.pid}\\n")
if "talkative" in conduct:
    print("x" * 50_000, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
note("started")
server.serve_forever()
"""


def standin(name: str, port: int, journal: Path, *conduct: str, stop_timeout_s: float = 5) -> Process:
    """A process that notes `started|stopped name pid` in `journal` and answers each GET with its process id.

    `conduct`: `stubborn` (ignores SIGTERM), `broken` (ends at once), `parent` (starts a process of its own and notes
    `child name pid`), `talkative` (writes 50 kB).
    """
    return Process(
        name=name,
        command=[sys.executable, "-I", "-S", "-c", _PROGRAM, name, str(port), str(journal), *conduct],
        is_ready=lambda: is_healthy(port),
        stop_timeout_s=stop_timeout_s,
    )


def journal_lines(journal: Path) -> list[tuple[str, str, int]]:
    """What the stand-ins noted: what, name, process id."""
    lines = (line.split() for line in journal.read_text().splitlines())
    return [(what, name, int(pid)) for what, name, pid in lines]
