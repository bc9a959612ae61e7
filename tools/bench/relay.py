"""`python -m tools.bench.relay PORT`: the whole camera service, with a camera in it that is not behind a bridge.

Prints one line of JSON: the camera and a view token of it.
"""

# ruff: noqa: E402

import sys

# Tools for developers bring it along, and httpx and structlog import what they find, 4 MB. The image does not have it.
sys.modules["rich"] = None  # type: ignore[assignment]

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from fastapi import FastAPI
from pydantic import SecretStr

from fluxprint_camera.app import create_app
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Permission, Role
from fluxprint_common.principal import Principal
from fluxprint_common.service import run
from tools.bench.stamped import fps, stamped

NOWHERE = "http://127.0.0.1:1"
LIFETIME_S = 3600


def main() -> None:
    settings = CameraSettings.model_validate(
        {
            "environment": "test",
            "port": int(sys.argv[1]),
            "database_url": SecretStr("postgresql+asyncpg://nobody:nothing@127.0.0.1:1/nowhere"),
            "jwks_url": f"{NOWHERE}/jwks.json",
            "queue_url": NOWHERE,
            "log_level": "ERROR",
            "view_token_secret": SecretStr(secrets.token_hex(32)),
            "view_token_s": LIFETIME_S,
            "max_viewers_per_camera": 10_000,
            "max_viewers_per_person": 10_000,
            "max_viewers_per_organisation": 10_000,
            "stuck_after_s": 120,
            "fast_path": sys.argv[2],
        }
    )
    app = create_app(settings)
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(started: FastAPI) -> AsyncIterator[None]:
        async with inner(started):
            filming = asyncio.create_task(_film(started, new_id(), new_id()))
            yield
            filming.cancel()
            with suppress(asyncio.CancelledError):
                await filming

    app.router.lifespan_context = lifespan
    run(app, settings, service="camera")


async def _film(app: FastAPI, camera: UUID, organisation: UUID) -> None:
    principal = Principal(
        subject=new_id(),
        organisation_id=organisation,
        role=Role.OWNER,
        session_id=new_id(),
        permissions=frozenset({Permission.CAMERAS_VIEW}),
        expires_at=datetime.now(UTC) + timedelta(seconds=LIFETIME_S),
        issued_at=datetime.now(UTC),
    )
    issued = app.state.view_tokens.issue(principal, [camera])
    print(json.dumps({"camera": show("camera", camera), "token": issued.token}), flush=True)
    loop = asyncio.get_running_loop()
    due, sequence = loop.time(), 0
    with app.state.hub.publishing(
        camera_id=camera, organisation_id=organisation, expires_in_s=LIFETIME_S
    ) as publication:
        while True:
            sequence += 1
            publication.publish(Frame.of(stamped(sequence), sequence=sequence, captured_at=datetime.now(UTC)))
            due += 1 / fps()
            await asyncio.sleep(max(0, due - loop.time()))


main()
