"""The demo's API client: what any program would do, over HTTP through Traefik."""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from fluxprint_local.demo_screen import Screen

Json = dict[str, Any]
POLL_S = 0.1
_ENDED = {"job.completed", "job.failed", "job.cancelled", "job.unknown"}


@dataclass
class Outcome:
    """How a print went, by the API's own events."""

    state: str = "queued"
    reason: str | None = None
    attempt_id: str = ""
    start_s: float | None = None  #: from sending POST /jobs to hearing that it prints
    print_s: float = 0.0
    viewer_frames: int = 0


class DemoClient:
    """One person with an organisation, a bridge and a printer."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30)
        self.email = f"demo-{secrets.token_hex(4)}@example.org"
        self.password = secrets.token_urlsafe(12)
        self._printer: Json = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    async def register(self) -> None:
        """Create an account with its organisation, and sign in."""
        account = {"email": self.email, "password": self.password, "name": "Demo", "organisation_name": "Demo workshop"}
        registered = await self._send("POST", "/auth/register", json=account)
        self._http.headers["Authorization"] = f"Bearer {registered['tokens']['access_token']}"

    async def log_in(self, password: str) -> None:
        """Sign in to an account that has this e-mail address already."""
        answer = await self._send("POST", "/auth/login", json={"email": self.email, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    async def add_printer(self) -> str:
        """Create a bridge and a printer behind it; the bridge's token."""
        created = await self._send("POST", "/bridges", json={"name": "Demo bridge"})
        printer = {
            "name": "Virtual printer",
            "bridge_id": created["bridge"]["id"],
            "model": "OctoPrint's virtual printer",
            "bed_is_clear": True,
        }
        self._printer = await self._send("POST", "/printers", json=printer)
        token: str = created["bridge_token"]
        return token

    async def printer_is_online(self, *, timeout_s: float) -> None:
        """Wait for the bridge. Raises: TimeoutError"""
        async with asyncio.timeout(timeout_s):
            while (await self._send("GET", f"/printers/{self._printer['id']}"))["connection"] != "online":  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)

    async def print_file(self, path: Path, screen: Screen) -> Outcome:
        """Upload, queue, watch until the job has ended."""
        file = await self._upload(path, screen)
        outcome = Outcome()
        watching = asyncio.create_task(self._watch_camera(outcome))
        try:
            await self._follow(file, outcome, screen)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        bed = {"attempt_id": outcome.attempt_id}
        await self._send("POST", f"/printers/{self._printer['id']}/bed-cleared", json=bed)
        return outcome

    async def _upload(self, path: Path, screen: Screen) -> Json:
        content = await asyncio.to_thread(path.read_bytes)
        digest = hashlib.sha256(content).hexdigest()
        file = await self._send("POST", "/files", files={"file": (path.name, content)}, data={"sha256": digest})
        slicing = file["slicing"]
        screen.say(
            f"uploaded {file['name']}: {file['size_bytes']} bytes, {slicing['slicer']} {slicing['slicer_version']}, "
            f"{slicing['filament_type']}, estimated {slicing['estimated_time_s']} s on a real printer"
        )
        return file

    async def _follow(self, file: Json, outcome: Outcome, screen: Screen) -> None:
        async with self._http.stream("GET", "/events/stream", params={"telemetry": True}) as stream:
            stream.raise_for_status()
            events = _events(stream)
            await anext(events)  # the stream is open: nothing that follows can be missed
            began = time.monotonic()
            key = {"Idempotency-Key": secrets.token_hex(16)}
            job = await self._send("POST", "/jobs", json={"file_id": file["id"]}, headers=key)
            screen.say(f"created {job['id']}")
            async for kind, data in events:
                now = time.monotonic() - began
                if kind == "telemetry":
                    state = data["data"]
                    screen.draw(state["state"], state["progress"], state["temperatures"])
                elif kind == "attempt.printing":
                    outcome.attempt_id, outcome.start_s = data["subject"], now
                    screen.say(f"prints after {now:.2f} s")
                elif kind in _ENDED and data["subject"] == job["id"]:
                    outcome.print_s = now - (outcome.start_s or now)
                    break
        job = await self._send("GET", f"/jobs/{job['id']}")
        outcome.state, outcome.reason = job["state"], job["reason"]
        screen.say(f"the job is {outcome.state}")

    async def _watch_camera(self, outcome: Outcome) -> None:
        """Count the pictures that a viewer gets: a browser's <img> would show them."""
        cameras = (await self._send("GET", "/cameras"))["items"]
        while not cameras:
            await asyncio.sleep(POLL_S)
            cameras = (await self._send("GET", "/cameras"))["items"]
        path = f"/cameras/{cameras[0]['id']}"
        token = (await self._send("POST", f"{path}/view-tokens"))["token"]
        watched: Json = {"url": f"{path}/stream", "params": {"token": token}}
        # No access token: the view token in the address is what an <img> has.
        async with httpx.AsyncClient(base_url=self._http.base_url, timeout=30) as viewer:
            while True:
                async with viewer.stream("GET", **watched) as stream:
                    async for piece in stream.aiter_bytes():
                        outcome.viewer_frames += piece.count(b"Content-Type: image/jpeg")
                await asyncio.sleep(POLL_S)

    async def _send(self, method: str, path: str, **more: Any) -> Json:
        answer = await self._http.request(method, path, **more)
        if not answer.is_success:
            raise httpx.HTTPStatusError(
                f"{method} {path}: {answer.status_code} {answer.text}", request=answer.request, response=answer
            )
        body: Json = answer.json()
        return body


async def _events(stream: httpx.Response) -> AsyncIterator[tuple[str, Json]]:
    """Server-Sent Events as (type, data); the stream's opening lines come first, as an event of type `open`."""
    kind, data = "open", "{}"
    async for line in stream.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif not line and kind:
            yield kind, json.loads(data)
            kind, data = "", "{}"
