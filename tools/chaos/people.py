"""The people of the workshop: they submit, cancel, pause, confirm beds, and decide what nobody else can."""

import asyncio
import contextlib
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tools.chaos.facts import Asked, Confirmation, Facts
from tools.chaos.plan import Order, Wish, gcode
from tools.chaos.system import System, Timeline

Json = dict[str, Any]

REQUEST_TIMEOUT_S = 3
#: Renewed before it ends.
LOGIN_AGAIN_S = 1800
#: Of a printer whose bed was occupied: what is confirmed now and then by an old one, may be two prints old.
KEPT_LOOKS = 10
TRY_AGAIN_S = 0.1


@dataclass(frozen=True)
class Look:
    """What somebody saw of a printer, and by when."""

    bed: Json
    at: float


class People:
    """One organisation, over HTTP through Traefik, whether that answers or not."""

    def __init__(self, system: System) -> None:
        self.printers: list[str] = []
        self._timeline: Timeline = system.timeline
        self._http = httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=REQUEST_TIMEOUT_S)
        self._account = {"email": f"{secrets.token_hex(6)}@example.org", "password": secrets.token_urlsafe(16)}
        self._logged_in_at = 0.0
        self._jobs: dict[str, list[str]] = {}

    async def __aenter__(self) -> Self:
        account = {**self._account, "name": "Ada", "organisation_name": "Chaos"}
        self._use((await self.must("POST", "/auth/register", json=account))["tokens"])
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    def _use(self, tokens: Json) -> None:
        self._http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        self._logged_in_at = time.monotonic()

    async def log_in_again(self) -> None:
        """Before the token ends."""
        if time.monotonic() - self._logged_in_at > LOGIN_AGAIN_S:
            self._use(await self.must("POST", "/auth/login", json=self._account))

    async def add_bridge(self, system: System, printers: list[int], *, redis: bool) -> None:
        """Add a bridge with printers, whose beds are not confirmed yet."""
        created = await self.must("POST", "/bridges", json={"name": f"bridge {len(self.printers)}"})
        ids: dict[str, int] = {}
        for number in printers:
            body = {"name": f"printer {number}", "bridge_id": created["bridge"]["id"]}
            printer = (await self.must("POST", "/printers", json=body))["id"]
            ids[printer] = number
            self.printers.append(printer)
        await system.add_bridge(created["bridge_token"], ids, redis=redis)

    # -- asking ----------------------------------------------------------------------------------------------------

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """One request; None where there was no answer, or only one of something in between."""
        with contextlib.suppress(httpx.TransportError):
            answer = await self._http.request(method, path, **more)
            if answer.status_code < 500 and answer.headers.get("content-type", "").partition(";")[0] in {
                "application/json",
                "application/problem+json",
            }:
                return answer
        return None

    async def must(self, method: str, path: str, **more: Any) -> Json:
        """A request that is repeated until it is answered, and must succeed then; its body."""
        while (answer := await self.send(method, path, **more)) is None:
            await asyncio.sleep(TRY_AGAIN_S)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        body: Json = answer.json()
        return body

    # -- wishes and orders -----------------------------------------------------------------------------------------

    async def wish(self, wish: Wish, facts: Facts) -> None:
        """Upload a file, and ask for its job as often as the plan says."""
        asked = Asked(name=wish.name, key=wish.key)
        facts.asked.append(asked)
        content = gcode(wish.name, wish.print_s)
        file = await self.must("POST", "/files", files={"file": (f"{wish.name}.gcode", content)})
        body: Json = {"file_id": file["id"], "name": wish.name, "copies": wish.copies}
        if wish.printer is not None:
            body["printer_id"] = self.printers[wish.printer]
        headers = {"Idempotency-Key": f"key-of-{wish.name}"} if wish.key else {}
        await asyncio.gather(*(self._submit(asked, body, headers) for _ in range(wish.times)))

    async def _submit(self, asked: Asked, body: Json, headers: dict[str, str]) -> None:
        while True:
            asked.sent += 1
            answer = await self.send("POST", "/jobs", json=body, headers=headers)
            if answer is not None and answer.status_code == 201:
                job = answer.json()["id"]
                asked.answered.append(job)
                self._jobs.setdefault(asked.name, []).append(job)
                self._timeline.note(f"submitted {asked.name}: {job}")
                return
            if not asked.key:
                return
            await asyncio.sleep(TRY_AGAIN_S)

    async def order(self, order: Order, wish: Wish, facts: Facts) -> None:
        """Cancel, pause or resume a job, if its submit was answered by now."""
        for job in self._jobs.get(wish.name, [])[:1]:
            if order.what == "cancel":
                for asked in facts.asked:
                    asked.cancel_asked |= asked.name == wish.name
            answer = await self.send("POST", f"/jobs/{job}/{order.what}")
            result = f"{answer.status_code}" if answer is not None else "no answer"
            state = answer.json().get("state", "") if answer is not None else ""
            self._timeline.note(f"{order.what} {job}: {result} {state}")
            if state == "cancelled":
                facts.cancelled.setdefault(job, time.time())

    # -- beds ------------------------------------------------------------------------------------------------------

    async def confirm_beds(self, number: int, facts: Facts, dice: random.Random, over: asyncio.Event) -> None:
        """Confirm a printer's bed again and again, until it is over; now and then by an old look at the printer."""
        looks: deque[Look] = deque(maxlen=KEPT_LOOKS)
        while not over.is_set():
            await asyncio.sleep(dice.uniform(0.05, 0.5))
            answer = await self.send("GET", f"/printers/{self.printers[number]}")
            if answer is not None and answer.is_success and answer.json()["bed"]["state"] == "occupied":
                looks.append(Look(answer.json()["bed"], time.time()))
                await self.confirm_bed(number, looks[-1], facts)
            if looks and dice.random() < 0.2:
                await self.confirm_bed(number, dice.choice(looks), facts)

    async def look(self, number: int) -> Look:
        """Look at a printer until it is seen."""
        return Look((await self.must("GET", f"/printers/{self.printers[number]}"))["bed"], time.time())

    async def confirm_bed(self, number: int, look: Look, facts: Facts) -> None:
        """Say that a bed is clear, by what was seen of it. An answer that is no success counts for none."""
        bed = look.bed
        said = {"attempt_id": bed["attempt_id"], "changed_at": bed["changed_at"]}
        asked_at = time.time()
        answer = await self.send("POST", f"/printers/{self.printers[number]}/bed-cleared", json=said)
        if answer is None or answer.is_success:
            facts.confirmations.append(Confirmation(number, bed["attempt_id"], look.at, asked_at, time.time()))
            how = "confirmed" if answer is not None else "perhaps confirmed (no answer)"
            self._timeline.note(f"bed of printer {number} {how}, seen {bed['state']} by {bed['attempt_id']}")
