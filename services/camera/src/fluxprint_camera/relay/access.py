"""The hub in a route's signature."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from fluxprint_camera.relay.hub import Hub


async def _hub(connection: HTTPConnection) -> Hub:
    hub: Hub = connection.app.state.hub
    return hub


Relay = Annotated[Hub, Depends(_hub)]
