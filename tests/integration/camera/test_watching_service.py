"""The whole service with a real model: from a picture to what the queue hears; and a model it does not start with."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from fluxprint_camera.app import create_app
from fluxprint_camera.relay.frame import Frame
from fluxprint_common.ids import show
from fluxprint_common.prints import Print
from support import servers
from support.camera import TAKEN_AT, VIEW_TOKEN_SECRET, settings_of
from support.onnx_model import brightness
from support.pictures import scene
from support.serving import serving
from support.watching import Prints, Workshop, workshop_at

TIMEOUT_S = 60


class Queue:
    """What the camera service asks and tells the queue service."""

    def __init__(self, prints: Prints) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.app = FastAPI()

        @self.app.post("/internal/prints")
        async def list_prints() -> dict[str, list[Print]]:
            return {"prints": list(prints.prints.values())}

        @self.app.post("/internal/observations")
        async def take_in(body: dict[str, Any]) -> dict[str, str]:
            self.told.put_nowait(body)
            return {"outcome": "pause_ordered" if body["pause_for"] else "notified"}

    async def hears(self, type_: str) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            while (told := await self.told.get())["type"] != type_:
                pass
        return told


async def show_until(app: FastAPI, workshop: Workshop, camera_id: Any, heard: asyncio.Task[Any], light: float) -> None:
    """Pictures with a moving head, as fast as they are looked at."""
    number = 0
    pictures = [scene(head_x=100, light=light), scene(head_x=300, light=light)]
    with app.state.hub.publishing(
        camera_id=camera_id, organisation_id=workshop.organisation_id, expires_in_s=3600
    ) as publication:
        while not heard.done():
            number += 1
            publication.publish(Frame.of(pictures[number % 2], sequence=number, captured_at=TAKEN_AT))
            await asyncio.sleep(0.05)


async def test_a_model_sees_a_print_fail_and_has_it_paused(database: servers.Database, tmp_path: Path) -> None:
    (tmp_path / "bright.onnx").write_bytes(brightness())
    async with workshop_at(database, tmp_path) as workshop:
        queue = Queue(workshop.prints)
        camera = await workshop.camera()
        found = workshop.prints.begin(workshop.organisation_id, camera.printer_id)
        await workshop.policy(failure="pause", enter_score=0.2, leave_score=0.1, enter_after_s=0, leave_after_s=0)
        async with serving(queue.app) as queue_url:
            app = create_app(
                settings_of(
                    database_url=SecretStr(database.url_for("camera")),
                    queue_url=queue_url,
                    data_dir=tmp_path,
                    data_reserve_bytes=0,
                    prints_poll_s=0.1,
                    watch_poll_s=0.1,
                    watch_interval_s=0.05,
                    detector="onnx",
                    detector_options={"model": str(tmp_path / "bright.onnx"), "labels": ["spaghetti"]},
                    detector_interval_s=0.05,
                )
            )
            async with serving(app) as url:
                begun = asyncio.create_task(queue.hears("camera.failure_suspected"))
                await show_until(app, workshop, camera.id, begun, light=1.0)
                ended = asyncio.create_task(queue.hears("camera.trouble_ended"))
                await show_until(app, workshop, camera.id, ended, light=0.15)
                health = await _health(url)
        told = begun.result()
        assert (told["attempt_id"], told["camera_id"]) == (
            show("attempt", found.attempt_id),
            show("camera", camera.id),
        )
        assert told["data"]["label"] == "spaghetti"
        assert told["data"]["model"] == "bright.onnx"
        assert told["pause_for"] is not None
        assert health["detector"] == "ready"
        assert {"watch-survey", "watch-look", "watch-tell", "watch-tidy", "watch-detection"} <= set(health["loops"])
        [decision] = [row for row in await workshop.decisions() if row["kind"] == "failure"][:1]
        assert decision["outcome"] == "pause_ordered"


async def test_what_was_found_is_forgotten_although_nothing_is_watched_any_more(
    database: servers.Database, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures/decisions/2026-01-02"
    folder.mkdir(parents=True)
    settings = settings_of(
        database_url=SecretStr(database.url_for("camera")), data_dir=tmp_path, watch_enabled=False, watch_keep_days=1
    )
    async with serving(create_app(settings)) as url:
        async with asyncio.timeout(TIMEOUT_S):
            while folder.exists():
                await asyncio.sleep(0.02)
        assert "watch-look" not in (await _health(url))["loops"]


async def _health(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=20) as http:
        answer: dict[str, Any] = (await http.get(f"{url}/health")).json()
        return answer


async def test_does_not_start_with_a_model_that_cannot_be_used() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fluxprint_camera",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "FLUXPRINT_ENVIRONMENT": "test",
            "FLUXPRINT_JWKS_URL": "http://127.0.0.1:1/jwks.json",
            "CAMERA_PORT": "0",
            "CAMERA_QUEUE_URL": "http://127.0.0.1:1",
            "CAMERA_DATABASE_URL": "postgresql+asyncpg://nobody:nothing@127.0.0.1:1/nowhere",
            "CAMERA_VIEW_TOKEN_SECRET": VIEW_TOKEN_SECRET,
            "CAMERA_DETECTOR": "onnx",
            "CAMERA_DETECTOR_OPTIONS": json.dumps({"model": "/nowhere/model.onnx"}),
        },
    )
    async with asyncio.timeout(TIMEOUT_S):
        said, _ = await process.communicate()
    assert process.returncode == 3
    assert "CAMERA_DETECTOR_OPTIONS: the model cannot be read" in said.decode()
