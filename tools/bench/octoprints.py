"""Stand-ins for many OctoPrints in one process, for load alone: what a bridge asks of them, as cheaply as it goes.

`python -m tools.bench.octoprints PORT PRINTERS PRINT_S [SILENT]`. The OctoPrint of printer 17 is http://127.0.0.1:PORT/17
and takes any API key. A print takes PRINT_S seconds. The last SILENT printers accept every connection and never answer.
"""

import asyncio
import hashlib
import json
import random
import sys
import time
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import cast

import uvloop
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

PUSH_S = 0.5  # as OctoPrint does
TEMPERATURES_EVERY = 4  # messages: OctoPrint asks a printer at work every 2 s
SLICES = 50  # not all printers at the same moment
PERMISSIONS = ("STATUS", "FILES_LIST", "FILES_UPLOAD", "FILES_SELECT", "FILES_DELETE", "PRINT", "CONNECTION")

Json = dict[str, object]
Answer = tuple[str, Json | None]
_OK, _CREATED, _NOTHING = "200 OK", "201 CREATED", "204 NO CONTENT"
_MISSING: Answer = ("404 NOT FOUND", {"error": "not found"})
_CONFLICT: Answer = ("409 CONFLICT", {"error": "Printer is busy"})
_FLAGS = (
    "operational", "printing", "cancelling", "pausing", "resuming", "finishing", "closedOrError", "error", "paused",
    "ready", "sdReady",
)  # fmt: skip


@dataclass
class File:
    """A stored file with its history."""

    size: int
    sha1: str
    success: int = 0
    print_time: float = 0.0
    ended_at: float = 0.0


@dataclass
class Printer:
    """One printer with its OctoPrint. It is always connected, and prints anything for `print_s` seconds."""

    print_s: float
    state: str = "Operational"
    path: str | None = None
    started_at: float = 0.0
    completion: float | None = None
    files: dict[str, File] = field(default_factory=dict)
    sockets: "set[Connection]" = field(default_factory=set)
    _ends: asyncio.TimerHandle | None = None
    _told: int = -1

    # -- what it says ----------------------------------------------------------------------------------------------

    def job(self) -> Json:
        file = self.files.get(self.path or "")
        name = self.path.rpartition("/")[2] if self.path else None
        printed_s = time.monotonic() - self.started_at if self.state == "Printing" else 0.0
        completion = 100 * printed_s / self.print_s if self.state == "Printing" else self.completion
        return {
            "job": {
                "averagePrintTime": None,
                "estimatedPrintTime": None,
                "filament": None,
                "file": {
                    "date": 1,
                    "display": name,
                    "name": name,
                    "origin": "local" if self.path else None,
                    "path": self.path,
                    "size": file.size if file else None,
                },
                "lastPrintTime": file.print_time if file and file.success else None,
                "user": "bridge" if self.path else None,
            },
            "progress": {
                "completion": completion,
                "filepos": 0,
                "printTime": int(printed_s) if completion is not None else None,
                "printTimeLeft": int(self.print_s - printed_s) if completion is not None else None,
                "printTimeLeftOrigin": "linear",
            },
        }

    def current(self) -> Json:
        """The body of a `current` message. Now and then it brings temperatures, which never stand still."""
        self._told += 1
        return {
            **self.job(),
            "state": {"text": self.state, "flags": dict.fromkeys(_FLAGS, False), "error": ""},
            "currentZ": None,
            "offsets": {},
            "resends": {"count": 0, "transmitted": 0, "ratio": 0},
            "serverTime": time.time(),
            "temps": [] if self._told % TEMPERATURES_EVERY else [_temperatures()],
            "logs": [],
            "messages": [],
            "busyFiles": [],
            "markings": [],
        }

    def tell(self, message: Json) -> None:
        text = json.dumps(message).encode()
        for socket in self.sockets:
            socket.push(text)

    def _event(self, kind: str, **payload: object) -> None:
        self.tell({"event": {"type": kind, "payload": payload or None}})

    def _is_now(self, state: str, state_id: str) -> None:
        self.state = state
        self._event("PrinterStateChanged", state_id=state_id, state_string=state)

    # -- what it does ----------------------------------------------------------------------------------------------

    def start(self, path: str) -> Answer:
        if self.state != "Operational":
            return _CONFLICT
        self.path, self.started_at, self.completion = path, time.monotonic(), None
        self._is_now("Starting", "STARTING")
        self._event("PrintStarted", **self._of_print(), user="bridge")
        self._is_now("Printing", "PRINTING")
        self._ends = asyncio.get_running_loop().call_later(self.print_s, self._done)
        return _NOTHING, None

    def cancel(self) -> Answer:
        if self._ends is None:
            return _CONFLICT
        self._ends.cancel()
        self._ends, self.completion = None, None
        self._is_now("Cancelling", "CANCELLING")
        self._event("PrintCancelled", **self._of_print(), time=1.0, progress=1, user="bridge")
        self._event("PrintFailed", **self._of_print(), time=1.0, progress=1, user="bridge", reason="cancelled")
        self._is_now("Operational", "OPERATIONAL")
        return _NOTHING, None

    def _done(self) -> None:
        self._ends, self.completion = None, 100.0
        file = self.files[self.path or ""]
        file.success, file.print_time, file.ended_at = file.success + 1, self.print_s, time.time()
        self._event("PrintDone", **self._of_print(), time=self.print_s)
        self._is_now("Finishing", "FINISHING")
        self._is_now("Operational", "OPERATIONAL")

    def _of_print(self) -> Json:
        name = (self.path or "").rpartition("/")[2]
        return {"name": name, "path": self.path, "origin": "local", "size": self.files[self.path or ""].size}

    # -- its REST API ----------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, head: bytes, body: bytes) -> Answer:
        if path == "/api/files/local":
            return self._store(head, body) if method == "POST" else (_OK, self._listed())
        if path.startswith("/api/files/local/"):
            return self._answer_of_file(method, path.removeprefix("/api/files/local/"))
        return self._answer_of_printer(method, path, body)

    def _answer_of_printer(self, method: str, path: str, body: bytes) -> Answer:
        match method, path:
            case "GET", "/api/job":
                return _OK, {**self.job(), "state": self.state}
            case "POST", "/api/job" if json.loads(body)["command"] == "cancel":
                return self.cancel()
            case "GET", "/api/currentuser":
                return _OK, {"name": "bridge", "permissions": PERMISSIONS, "groups": []}
            case "POST", "/api/login":
                return _OK, {"name": "bridge", "session": "0" * 64}
        return _MISSING

    def _listed(self) -> Json:
        """All files, as if there were no folders."""
        return {"files": [{**self._shown(path), "name": path} for path in self.files]}

    def _answer_of_file(self, method: str, path: str) -> Answer:
        if path not in self.files:
            return _MISSING
        match method:
            case "POST":
                return self.start(path)
            case "DELETE":
                del self.files[path]
                return _NOTHING, None
        return _OK, self._shown(path)

    def _store(self, head: bytes, body: bytes) -> Answer:
        form = BytesParser(policy=HTTP).parsebytes(head.partition(b"\r\n")[2] + b"\r\n\r\n" + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        folder, content = (parts[name].get_payload(decode=True) for name in ("path", "file"))
        assert isinstance(folder, bytes)
        assert isinstance(content, bytes)
        name = parts["file"].get_filename()
        path = f"{folder.decode()}/{name}"
        if path in self.files:
            return _CONFLICT
        self.files[path] = File(len(content), hashlib.sha1(content, usedforsecurity=False).hexdigest())
        return _CREATED, {"done": True, "files": {"local": {"name": name, "origin": "local", "path": path}}}

    def _shown(self, path: str) -> Json:
        file = self.files[path]
        shown: Json = {"path": path, "size": file.size, "hash": file.sha1, "origin": "local", "type": "machinecode"}
        if file.success:
            last = {"date": file.ended_at, "printTime": file.print_time, "success": True}
            shown["prints"] = {"failure": 0, "success": file.success, "last": last}
        return shown


def _temperatures() -> Json:
    return {
        "time": int(time.time()),
        "tool0": {"actual": round(random.uniform(209, 211), 2), "target": 210.0},
        "bed": {"actual": round(random.uniform(59, 61), 2), "target": 60.0},
        "chamber": {"actual": None, "target": None},
    }


class Connection(asyncio.Protocol):
    """A connection of a bridge: HTTP requests one after the other, or a push socket."""

    def __init__(self, printers: list[Printer], silent_from: int) -> None:
        self._printers = printers
        self._silent_from = silent_from
        self._received = bytearray()
        self._socket: ServerProtocol | None = None
        self._printer: Printer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._printer is not None:
            self._printer.sockets.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._socket is not None:
            self._hear(data)
            return
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            size = end + 4 + _content_length(head)
            if len(self._received) < size:
                return
            request, self._received = bytes(self._received[:size]), self._received[size:]
            self._take(head, request, request[end + 4 :])

    def _take(self, head: bytes, request: bytes, body: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        _, number, path = target.split("/", 2)
        if int(number) >= self._silent_from:
            return
        printer = self._printers[int(number)]
        if path == "sockjs/websocket":
            self._open(printer, request)
            return
        status, answer = printer.answer(method, f"/{path}", head, body)
        content = json.dumps(answer).encode() if answer is not None else b""
        kind = b"Content-Type: application/json\r\n" if answer is not None else b""
        self._transport.write(b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (
            status.encode(), kind, len(content), content,
        ))  # fmt: skip

    # -- the push socket ---------------------------------------------------------------------------------------------

    def _open(self, printer: Printer, request: bytes) -> None:
        self._printer, self._socket = printer, ServerProtocol()
        self._socket.receive_data(request)
        (opening,) = self._socket.events_received()
        assert isinstance(opening, Request)
        self._socket.send_response(self._socket.accept(opening))
        self.push(json.dumps({"connected": {"version": "stand-in"}}).encode())

    def push(self, text: bytes) -> None:
        assert self._socket is not None
        self._socket.send_text(text)
        self._flush()

    def _hear(self, data: bytes) -> None:
        assert self._socket is not None
        assert self._printer is not None
        self._socket.receive_data(data)
        for frame in self._socket.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.CLOSE:
                self._printer.sockets.discard(self)
            elif b'"auth"' in frame.data:
                self.push(json.dumps({"history": self._printer.current()}).encode())
                self._printer.sockets.add(self)
        self._flush()

    def _flush(self) -> None:
        assert self._socket is not None
        for data in self._socket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


async def serve(port: int, count: int, print_s: float, silent: int) -> None:
    """Serve for ever."""
    printers = [Printer(print_s) for _ in range(count)]
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Connection(printers, count - silent), "127.0.0.1", port, backlog=1000)
    turn, began = 0, loop.time()
    while True:
        await asyncio.sleep(began + turn * PUSH_S / SLICES - loop.time())
        for printer in printers[turn % SLICES :: SLICES]:
            if printer.sockets:
                printer.tell({"current": printer.current()})
        turn += 1


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else 0))
