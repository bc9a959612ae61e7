"""Keeps the bridge's cameras connected to the camera service."""

import asyncio

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.session import NoCameraLeft, Session
from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.sockets import (
    CLOSE_TAKEN_OVER,
    CLOSE_TOKEN_ENDED,
    MAX_BACKOFF_S,
    open_socket,
    socket_url,
)
from fluxprint_bridge.cloud.token import AccessToken
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

SUBPROTOCOL = "fluxprint.camera.v2"
#: A slow line takes its time: a ping waits behind a picture.
PING_TIMEOUT_S = 60
HTTP_NOT_ALLOWED = frozenset({401, 403})


class CameraUplink:
    """Run `run()` under a supervisor."""

    def __init__(self, api_url: str, token: AccessToken, roster: Roster) -> None:
        self._url = socket_url(api_url, "/cameras/ingest")
        self._token = token
        self._roster = roster
        self._session: Session | None = None

    async def run(self) -> None:
        """Keep connected for ever, as long as there are cameras."""
        failures = 0
        while True:
            await self._roster.until_any()
            served = False
            try:
                await self._once()
            except NoCameraLeft:
                log.info("uplink_without_cameras")
                continue
            except InvalidStatus as refused:
                if refused.response.status_code in HTTP_NOT_ALLOWED:
                    self._token.forget()
                log.warning("uplink_refused", status=refused.response.status_code)
            except WebSocketException as error:
                closed = error.rcvd if isinstance(error, ConnectionClosed) else None
                code = closed.code if closed is not None else None
                if code == CLOSE_TOKEN_ENDED:
                    self._token.forget()
                # Whoever took over would be thrown out again at once.
                served = self._served and code != CLOSE_TAKEN_OVER
                log.info("uplink_closed", error=str(error)[:200])
            except (CloudError, OSError, TimeoutError, InvalidHandshake) as error:
                served = self._served
                log.warning("uplink_failed", error=repr(error)[:300])
            failures = 0 if served else failures + 1
            await asyncio.sleep(backoff_s(max(1, failures), cap_s=MAX_BACKOFF_S))

    @property
    def _served(self) -> bool:
        return self._session is not None and self._session.served

    async def _once(self) -> None:
        self._session = None
        token = await self._token.get()
        async with open_socket(self._url, SUBPROTOCOL, token, ping_timeout_s=PING_TIMEOUT_S) as socket:
            log.info("uplink_connected")
            self._session = Session(socket, self._roster)
            await self._session.run()
