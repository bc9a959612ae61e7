"""The calls of a bridge to the queue service, typed: docs/protocol.md.

A call is made once; whoever calls knows whether it may be repeated and how long it makes sense. Only a token that was
not accepted is replaced here, because such a call had no effect.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from fluxprint_bridge import __version__, clock
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.cloud.problems import checked
from fluxprint_bridge.cloud.schemas import (
    Assignment,
    Command,
    Commands,
    Lease,
    NextFile,
    Permit,
    PrinterInfo,
    Printers,
)
from fluxprint_bridge.cloud.token import AccessToken
from fluxprint_bridge.journal import Report
from fluxprint_bridge.staged import StagedFile

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
KEEP_ALIVE_S = 55.0
MAX_CONNECTIONS = 32
MAX_WAITING = 8  #: claims that wait: of a bridge with more printers the others ask by the clock and by doorbell
#: Each is looked at for each request. httpx counts those that are in use among them: past it none is kept.
MAX_KEPT_CONNECTIONS = MAX_WAITING + 8
NOT_UNDERSTOOD = 422
PLAINLY_S = 300.0  #: how long a queue that is older than this bridge is asked as it understands: it is updated one day

Download = AbstractAsyncContextManager[httpx.Response]
A = TypeVar("A", bound=BaseModel)


class CloudApi:
    """Raises `CloudUnavailable` or `CloudRefused`, never a transport's exception."""

    def __init__(self, api_url: str, bridge_token: SecretStr) -> None:
        """`api_url` ends with /api/v1."""
        self.url = api_url
        self._http = httpx.AsyncClient(
            base_url=api_url,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_KEPT_CONNECTIONS,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
            headers={"User-Agent": f"fluxprint-bridge/{__version__}"},
        )
        self.token = AccessToken(self._http, bridge_token)
        self._waiting = 0
        self._plainly_until = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    async def printers(self) -> list[PrinterInfo]:
        """The printers that belong to this bridge."""
        return (await self._get("bridge/printers", Printers)).items

    async def claim(
        self,
        printer_id: str,
        *,
        journal_id: str,
        staged: StagedFile | None,
        adopt_only: bool,
        ready: bool = False,
        wait_s: float = 0.0,
    ) -> Assignment | None:
        """The printer's live attempt with a new fence, else new work (not with `adopt_only`), else None.

        New work gets the id of what is staged where it needs that very file; with `ready` its permit comes with it.
        The answer is waited for up to `wait_s`, unless many wait already.
        """
        body: dict[str, object] = {"journal_id": journal_id, "adopt_only": adopt_only}
        if staged is not None:
            body["staged"] = {"attempt_id": staged.attempt_id, "sha256": staged.sha256}
        if self._waiting >= MAX_WAITING:
            wait_s = 0.0
        takes_more = clock.now() >= self._plainly_until
        more = {name: value for name, value in (("ready", ready), ("wait_s", wait_s)) if value and takes_more}
        self._waiting += bool(wait_s)
        try:
            response = await self._claim(f"bridge/printers/{printer_id}/claim", body, more, wait_s=wait_s)
        finally:
            self._waiting -= bool(wait_s)
        return None if response.status_code == 204 else _parsed(response, Assignment)

    async def _claim(
        self, path: str, body: Mapping[str, object], more: Mapping[str, object], *, wait_s: float
    ) -> httpx.Response:
        if not more:
            return await self._post(path, body)
        try:
            return await self._call("POST", path, json={**body, **more}, timeout_s=wait_s + READ_TIMEOUT_S)
        except CloudRefused as refused:
            if refused.status != NOT_UNDERSTOOD:
                raise
            self._plainly_until = clock.now() + PLAINLY_S
            return await self._post(path, body)

    async def next_file(self, printer_id: str) -> NextFile | None:
        """What the printer would claim if it were free, with an id for it."""
        response = await self._call("GET", f"bridge/printers/{printer_id}/next")
        return None if response.status_code == 204 else _parsed(response, NextFile)

    async def renew(self, attempt_id: str, *, fence: int) -> float:
        """Renew the lease; it now lasts so many seconds from the moment of asking."""
        response = await self._post(f"bridge/attempts/{attempt_id}/lease", {"fence": fence})
        return _parsed(response, Lease).lease_expires_in_s

    async def permit(self, attempt_id: str, *, fence: int, journal_id: str) -> float:
        """Leave to press start within so many seconds from the moment of asking."""
        body = {"fence": fence, "journal_id": journal_id}
        response = await self._post(f"bridge/attempts/{attempt_id}/permit", body)
        return _parsed(response, Permit).permit_valid_s

    async def report(self, report: Report) -> None:
        """Deliver a report; doing it twice is the same as once."""
        body = {
            "fence": report.fence,
            "report_id": report.id,
            "kind": report.kind,
            "reason": report.reason,
            "detail": report.detail,
            "evidence": report.evidence,
        }
        await self._post(f"bridge/attempts/{report.attempt_id}/reports", body)

    async def foreign_print(self, printer_id: str, *, file_name: str) -> None:
        """Tell that a print was seen which is not ours: the bed is not clear."""
        await self._post(f"bridge/printers/{printer_id}/foreign-print", {"file_name": file_name})

    async def commands(self, printer_id: str) -> list[Command]:
        """What people asked for and nobody has done yet."""
        return (await self._get(f"bridge/printers/{printer_id}/commands", Commands)).items

    async def command_result(self, command_id: str, *, succeeded: bool, detail: str | None = None) -> None:
        """Close a command; doing it twice is the same as once."""
        body = {"state": "succeeded" if succeeded else "failed", "detail": detail}
        await self._post(f"bridge/commands/{command_id}/result", body)

    def download(self, attempt_id: str, offset: int) -> Download:
        """The bytes of an attempt's file from `offset` on, as a streamed response (RFC 9110, 14.2)."""
        return self._download(f"bridge/attempts/{attempt_id}/file", offset)

    def download_ahead(self, printer_id: str, sha256: str, offset: int) -> Download:
        """The same of a file that no attempt has claimed yet."""
        return self._download(f"bridge/printers/{printer_id}/files/{sha256}", offset)

    @asynccontextmanager
    async def _download(self, path: str, offset: int) -> AsyncIterator[httpx.Response]:
        # Unencoded, because ranges and sizes count the file's own bytes.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        request = await self._request("GET", path, headers=headers)
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.is_error:
                    await response.aread()
                if response.status_code == 401:
                    self.token.forget()
                    raise CloudUnavailable("the access token had ended")
                yield checked(response)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise CloudUnavailable(f"the download was cut: {error!r}") from None

    async def _get(self, path: str, kind: type[A]) -> A:
        return _parsed(await self._call("GET", path), kind)

    async def _post(self, path: str, body: Mapping[str, object]) -> httpx.Response:
        return await self._call("POST", path, json=body)

    async def _call(
        self, method: str, path: str, *, json: Mapping[str, object] | None = None, timeout_s: float | None = None
    ) -> httpx.Response:
        for last_try in (False, True):
            request = await self._request(method, path, json=json)
            if timeout_s is not None:
                request.extensions = {"timeout": httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S).as_dict()}
            try:
                response = await self._http.send(request)
            except httpx.HTTPError as error:
                raise CloudUnavailable(f"the cloud did not answer {method} {path}: {error!r}") from None
            if response.status_code != 401 or last_try:
                return checked(response)
            self.token.forget()
        raise AssertionError("unreachable")

    async def _request(
        self, method: str, path: str, *, json: Mapping[str, object] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Request:
        token = await self.token.get()
        signed = {**(headers or {}), "Authorization": f"Bearer {token.get_secret_value()}"}
        return self._http.build_request(method, path, json=json, headers=signed)


def _parsed(response: httpx.Response, kind: type[A]) -> A:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise CloudUnavailable(
            f"{response.request.url.path} was answered with something else ({error.error_count()} fields);"
            " is the bridge older than the cloud?"
        ) from None
