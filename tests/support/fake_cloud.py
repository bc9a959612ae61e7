"""The queue service in memory: as docs/protocol.md says, for one bridge, which reaches it by `fake_cloud_routes`.

It refuses what the real one refuses, so a bridge that breaks the protocol does not get through a test.
"""

import asyncio
import hashlib
import itertools
import json
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import WebSocket

from fluxprint_common.ids import new_id, show
from fluxprint_queue.attempts.states import LIVE, REPORTED_STATE, TRANSITIONS, AttemptState, ReportKind
from support.gate import Stop

BRIDGE_TOKEN = "fxb_test0000000000000000000000000000"


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code


@dataclass
class Attempt:
    id: str
    printer_id: str
    content: bytes
    sent: bytes | None = None  #: other bytes than announced
    cut_at: int | None = None  #: where the first download breaks off
    extension: str = "gcode"
    state: str = "queued"
    fence: int = 0
    journal_id: str | None = None
    lease_ends_at: float = 0.0
    reason: str | None = None
    detail: str | None = None
    evidence: dict[str, object] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)
    report_ids: set[str] = field(default_factory=set)
    job_cancelled: bool = False
    priority: int = 50

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def file(self) -> dict[str, object]:
        """As an assignment describes it."""
        size = len(self.content)
        return {"sha256": self.sha256, "size_bytes": size, "name": "x.gcode", "extension": self.extension}

    @property
    def path(self) -> str:
        month = time.strftime("%Y-%m", time.gmtime((int(self.id.rpartition("_")[2], 16) >> 80) / 1000))
        return f"fluxprint/{month}/{self.id}.{self.extension}"

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def move(self, to: str) -> None:
        if not self.live or to not in TRANSITIONS[AttemptState(self.state)]:
            raise Refusal(409, "transition_refused" if self.live else "attempt_ended")
        self.state = to


@dataclass
class Command:
    id: str
    attempt_id: str
    kind: str
    state: str = "pending"
    detail: str | None = None


class FakeCloud:
    """One organisation and one bridge, with one printer or more; what names no printer means the first."""

    def __init__(self, *, printers: int = 1) -> None:
        self.printer_ids = [show("printer", new_id()) for _ in range(printers)]
        self.printer_id = self.printer_ids[0]
        self.bridge_id = show("bridge", new_id())
        self.url = ""
        self.attempts: dict[str, Attempt] = {}
        self.used_ids: set[str] = set()
        self.telemetry: list[dict[str, object]] = []
        self.links: list[WebSocket] = []
        self.uplinks: list[WebSocket] = []
        self.changed = asyncio.Condition()
        self._fences = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """As it was at first, but for its identity and its connections."""
        self.lease_s = 30.0
        self.permit_valid_s = 10.0
        self.beds = dict.fromkeys(self.printer_ids, "clear")
        self.beds_held_by: dict[str, str] = {}  #: attempts, by printer: what has its permit, until a foreign print
        self.enabled = True
        self.grants = False  #: whether claims wait and bring their permit along
        self.knows_grants = True  #: an older queue refuses a claim that asks for that
        self.rung = asyncio.Event()
        self.takes_evidence = True
        for attempt in self.attempts.values():
            attempt.state = "failed" if attempt.live or attempt.state == "queued" else attempt.state
        self.uploaded: Attempt | None = None  #: what was just uploaded, as the attempt of a job that may come
        self.commands: list[Command] = []
        self.calls: list[str] = []
        self.asked_for_work = 0  #: claims that would take new work
        self.foreign_prints: list[str] = []
        self.frames: list[tuple[dict[str, int], bytes]] = []
        self.cameras: list[dict[str, Any]] = []  #: as the bridge named them last
        self.camera_states: list[dict[str, Any]] = []
        self.refused_cameras: set[str] = set()  #: by key
        self.max_frame_bytes = 2 * 1024 * 1024
        self.max_width = 3840
        self.wanted_fps = 0.0
        self.idle_interval_s = 60.0
        self.stall_at: asyncio.Event | None = None  #: waited for in the middle of each download that begins
        self.stalled = False
        #: Awaited after a call took effect and before it is answered, by the call's name.
        self.before_answer: dict[str, Callable[[], Awaitable[object]]] = {}

    @property
    def now(self) -> dict[str, object]:
        """The newest telemetry, or nothing."""
        return self.telemetry[-1] if self.telemetry else {}

    # -- what people do ----------------------------------------------------------------------------------------------

    async def add_job(
        self,
        content: bytes,
        *,
        printer_id: str | None = None,
        sent: bytes | None = None,
        cut_at: int | None = None,
        priority: int = 50,
    ) -> Attempt:
        """Queue something to print and ring the doorbell."""
        printer_id = printer_id or self.printer_id
        attempt_id = show("attempt", new_id())
        attempt = Attempt(attempt_id, printer_id, content, sent=sent, cut_at=cut_at, priority=priority)
        self.attempts[attempt.id] = attempt
        await self.ring("work", printer_id)
        return attempt

    async def upload(self, content: bytes) -> None:
        """Keep something to print that has no job yet."""
        self.uploaded = Attempt(show("attempt", new_id()), self.printer_id, content)
        await self.ring("stage")

    async def printing(self, content: bytes) -> Attempt:
        """Something that is queued and prints: for seconds, or it may be over before anybody has seen it print."""
        attempt = await self.add_job(content)
        await self.until_state(attempt, "printing")
        return attempt

    async def clear_bed(self) -> None:
        self.beds[self.printer_id] = "clear"
        await self.ring("work")

    async def command(self, attempt: Attempt, kind: str, *, ring: bool = True) -> Command:
        command = Command(show("command", new_id()), attempt.id, kind)
        self.commands.append(command)
        if ring:
            await self.ring("command")
        return command

    async def ring(self, reason: str, printer_id: str | None = None) -> None:
        if reason != "stage":
            self.rung.set()
        message = {"type": "doorbell", "printer_id": printer_id or self.printer_id, "reason": reason}
        for link in self.links:
            await link.send_text(json.dumps(message))

    async def want(self, fps: float, *, channel: int | None = None) -> None:
        """Of one camera, or of all, those to come included."""
        if channel is None:
            self.wanted_fps = fps
        for uplink in self.uplinks:
            for number in [channel] if channel is not None else [camera["channel"] for camera in self.cameras]:
                await uplink.send_text(
                    json.dumps({"type": "want", "channel": number, "fps": fps, "idle_interval_s": self.idle_interval_s})
                )

    async def take_camera_message(self, socket: WebSocket, message: dict[str, Any]) -> None:
        if message.pop("type") == "state":
            self.camera_states.append(message)
            await self.note("state")
            return
        self.cameras = message["cameras"]
        assert {camera["printer_id"] for camera in self.cameras} <= set(self.printer_ids)
        refused = [camera for camera in self.cameras if camera["key"] in self.refused_cameras]
        accepted = [camera for camera in self.cameras if camera not in refused]
        answer = {
            "type": "accepted",
            "cameras": [{"channel": c["channel"], "camera_id": show("camera", new_id())} for c in accepted],
            "refused": [{"channel": c["channel"], "code": "too_many_cameras", "detail": "."} for c in refused],
            "max_frame_bytes": self.max_frame_bytes,
            "max_width": self.max_width,
        }
        await socket.send_text(json.dumps(answer))
        for camera in accepted:
            want = {"fps": self.wanted_fps, "idle_interval_s": self.idle_interval_s}
            await socket.send_text(json.dumps({"type": "want", "channel": camera["channel"], **want}))
        await self.note("cameras")

    async def take_frame(self, socket: WebSocket, data: bytes) -> None:
        version, flags, channel, sequence, captured_ms = struct.unpack_from("!BBHQQ", data)
        assert (version, flags) == (2, 0)
        self.frames.append(({"channel": channel, "sequence": sequence, "captured_ms": captured_ms}, data[20:]))
        await self.note("frame")
        await socket.send_text(json.dumps({"type": "ack", "channel": channel, "sequence": sequence}))

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 40) -> None:
        """Wait until something that the bridge told us is true."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: bool(condition()))

    async def until_state(self, attempt: Attempt, *states: str, timeout_s: float = 40) -> None:
        try:
            await self.until(lambda: attempt.state in states, timeout_s=timeout_s)
        except TimeoutError:
            raise AssertionError(
                f"{attempt.state} ({attempt.reason}: {attempt.detail}), not {states}; calls: {self.calls[-20:]}"
            ) from None

    async def until_claims(self, more: int = 2) -> None:
        """Until the bridge has asked for work so many times more: it has thought about it again."""
        before = self.calls.count("claim")
        await self.until(lambda: self.calls.count("claim") >= before + more)

    async def until_called(self, call: str) -> None:
        """Until the bridge has made such a call once more."""
        before = self.calls.count(call)
        await self.until(lambda: self.calls.count(call) > before)

    async def until_asked_for_work(self) -> None:
        """Until the bridge takes its printer for idle, and has told what was printed without it."""
        before = self.asked_for_work
        await self.ring("work")
        await self.until(lambda: self.asked_for_work > before)

    def once(self, call: str, action: Callable[[], Awaitable[object]]) -> None:
        """Let something happen between the next such call and its answer."""

        async def only_now() -> None:
            del self.before_answer[call]
            await action()

        self.before_answer[call] = only_now

    def hold(self, call: str) -> Stop:
        """Answer such calls only when they are let go."""
        stop = Stop()
        self.before_answer[call] = stop.stop_here
        return stop

    def take_over(self, attempt: Attempt) -> None:
        """Another process with the same token claims: it gets the newest fence."""
        attempt.fence = next(self._fences)

    # -- what the bridge does ------------------------------------------------------------------------------------------

    async def note(self, call: str) -> None:
        self.calls.append(call)
        hook = self.before_answer.get(call.partition("@")[0])
        if hook is not None:
            await hook()
        async with self.changed:
            self.changed.notify_all()

    def of(self, printer_id: str | None) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.printer_id == (printer_id or self.printer_id)]

    def live(self, printer_id: str | None = None) -> Attempt | None:
        return next((attempt for attempt in self.of(printer_id) if attempt.live), None)

    def held(self, attempt_id: str, fence: int) -> Attempt:
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            raise Refusal(404, "attempt_not_found")
        if attempt.fence != fence:
            raise Refusal(409, "fence_stale")
        if not attempt.live:
            raise Refusal(409, "attempt_ended")
        return attempt

    def next(self, printer_id: str) -> Attempt | None:
        """What a claim takes if the printer is free."""
        waiting = (a for a in self.of(printer_id) if a.state == "queued") if self.enabled else iter(())
        return min(waiting, key=lambda attempt: -attempt.priority, default=None)

    def ahead(self, printer_id: str) -> Attempt | None:
        """What may be brought to the printer ahead of time."""
        return self.next(printer_id) or (self.uploaded if self.beds[printer_id] == "clear" else None)

    def claim(self, printer_id: str, journal_id: str, staged: dict[str, str] | None = None) -> Attempt | None:
        attempt = self.live(printer_id)
        if attempt is None and self.beds[printer_id] == "clear":
            attempt = self.next(printer_id)
            if attempt is not None:
                assert attempt.journal_id is None
                if (
                    staged is not None
                    and staged["sha256"] == attempt.sha256
                    and staged["attempt_id"] not in self.used_ids
                ):
                    self._rename(attempt, staged["attempt_id"])
                attempt.state, attempt.journal_id = "claimed", journal_id
                self.used_ids.add(attempt.id)
        if attempt is not None:
            attempt.fence = next(self._fences)
            attempt.lease_ends_at = time.monotonic() + self.lease_s
        return attempt

    def _rename(self, attempt: Attempt, attempt_id: str) -> None:
        if attempt_id in self.used_ids:
            return
        del self.attempts[attempt.id]
        attempt.id = attempt_id
        self.attempts[attempt_id] = attempt

    def permit(self, attempt: Attempt, journal_id: str) -> None:
        if attempt.state not in {"claimed", "starting"}:
            raise Refusal(409, "transition_refused")
        if attempt.journal_id != journal_id:
            raise Refusal(409, "journal_mismatch")
        if attempt.job_cancelled:
            raise Refusal(409, "job_cancelled")
        if not self.enabled:
            raise Refusal(409, "printing_disabled")
        if attempt.state == "starting":
            if self.beds_held_by.get(attempt.printer_id) != attempt.id:
                raise Refusal(409, "bed_occupied")
            return
        if time.monotonic() > attempt.lease_ends_at:
            raise Refusal(409, "lease_expired")
        if self.beds[attempt.printer_id] != "clear":
            raise Refusal(409, "bed_occupied")
        attempt.move("starting")
        self.beds[attempt.printer_id] = "occupied"
        self.beds_held_by[attempt.printer_id] = attempt.id

    def foreign_print(self, printer_id: str, file_name: str) -> None:
        self.foreign_prints.append(file_name)
        self.beds[printer_id] = "occupied"
        self.beds_held_by.pop(printer_id, None)

    def report(self, attempt: Attempt | None, body: dict[str, object]) -> None:
        if attempt is None:
            raise Refusal(404, "attempt_not_found")
        if body.get("evidence") and not self.takes_evidence:
            raise Refusal(422, "validation_failed")
        kind = str(body["kind"])
        if body["report_id"] in attempt.report_ids:
            return
        target = str(REPORTED_STATE[ReportKind(kind)])
        if attempt.state != target:
            self.held(attempt.id, int(str(body["fence"])))
            attempt.move(target)
        attempt.report_ids.add(str(body["report_id"]))
        attempt.reports.append(kind)
        attempt.reason, attempt.detail = body.get("reason"), body.get("detail")  # type: ignore[assignment]
        attempt.evidence = dict(body.get("evidence") or {})  # type: ignore[call-overload]
