"""Asking the queue service which printers are a bridge's: whenever the bridge names its cameras."""

from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from fluxprint_common.ids import PrinterId
from fluxprint_common.problems import Unavailable

TIMEOUT_S = 3.0


class _Printer(BaseModel):
    id: PrinterId


class _Printers(BaseModel):
    items: list[_Printer]


class PrinterDirectory:
    """Reads printers with the bridge's own token, so that the queue decides what it may see."""

    def __init__(self, http: httpx.AsyncClient, queue_url: str) -> None:
        self._http = http
        self._url = f"{queue_url}/api/v1/bridge/printers"

    async def of_bridge(self, authorization: str) -> frozenset[UUID]:
        """The bridge's printers. Raises `Unavailable` where the queue does not answer."""
        try:
            answer = await self._http.get(self._url, headers={"Authorization": authorization}, timeout=TIMEOUT_S)
            answer.raise_for_status()
            printers = _Printers.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise Unavailable("The bridge's printers could not be looked up; try again.") from error
        return frozenset(printer.id for printer in printers.items)
