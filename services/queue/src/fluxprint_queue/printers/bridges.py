"""Asking the auth service whether a bridge is one of the organisation's: when a printer is added, never later."""

from collections.abc import Mapping
from uuid import UUID

import httpx

from fluxprint_common.ids import show
from fluxprint_common.problems import FieldProblem, Invalid, Unavailable

TIMEOUT_S = 3.0


class BridgeUnknown(Invalid):
    """There is no such bridge in your organisation; see GET /bridges"""

    code = "bridge_unknown"


class BridgeDirectory:
    """Reads bridges with the caller's own credentials, so that auth decides what they may see."""

    def __init__(self, http: httpx.AsyncClient, auth_url: str) -> None:
        self._http = http
        self._url = f"{auth_url}/api/v1/bridges"

    async def check(self, bridge_id: UUID, credentials: Mapping[str, str]) -> None:
        """Raises: BridgeUnknown, Unavailable"""
        try:
            answer = await self._http.get(
                f"{self._url}/{show('bridge', bridge_id)}", headers=credentials, timeout=TIMEOUT_S
            )
        except httpx.HTTPError as error:
            raise Unavailable("The bridge could not be looked up: the auth service does not answer.") from error
        if answer.status_code == 404:
            message = "No bridge of your organisation has this id."
            raise BridgeUnknown(message, errors=[FieldProblem(pointer="/bridge_id", code="unknown", message=message)])
        if not answer.is_success:
            raise Unavailable(f"The bridge could not be looked up: the auth service answered {answer.status_code}.")
