"""The bridge's access token: exchanged for the bridge token, and renewed before it ends."""

import asyncio
import base64
import json
import secrets

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.cloud.problems import checked

RENEW_AT = 0.75  # of its life
KEEP_S = 60.0


class _Exchanged(BaseModel):
    access_token: SecretStr
    expires_in_s: float


class AccessToken:
    """Hands out a valid token; exchanges at most once at a time."""

    def __init__(self, http: httpx.AsyncClient, bridge_token: SecretStr) -> None:
        self._http = http
        self._bridge_token = bridge_token
        self._instance: str | None = secrets.token_urlsafe(16)  # of this process; so a copied token is noticed
        self._token: SecretStr | None = None
        self._asked_at = 0.0
        self._renew_at = 0.0
        self._exchanging = asyncio.Lock()

    async def get(self) -> SecretStr:
        """A token with some life left. Raises `CloudUnavailable`."""
        async with self._exchanging:
            if self._token is None or clock.now() >= self._renew_at:
                await self._exchange()
            assert self._token is not None  # noqa: S101  (for the type checker)
            return self._token

    async def bridge_id(self) -> str:
        """Who the cloud says we are: the subject of the token (a JWT, RFC 7519), which is not ours to verify."""
        payload = (await self.get()).get_secret_value().split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])

    def forget(self) -> None:
        """The cloud does not accept it any more.

        A new one is kept all the same: whoever refuses it refuses the next one as well (a camera that is not this
        bridge's), or spoke of the one before. All cameras and the link share this token, and how often an address may
        ask for one is limited: many that are refused must not leave the whole bridge without any.
        """
        if clock.now() - self._asked_at >= KEEP_S:
            self._token = None

    async def _exchange(self) -> None:
        asked_at = clock.now()
        response = await self._ask()
        if response.status_code == 422 and self._instance is not None:  # a cloud that is older than the field
            self._instance = None
            response = await self._ask()
        try:
            exchanged = _Exchanged.model_validate(checked(response).json())
        except (ValidationError, ValueError):
            raise CloudUnavailable("the cloud answered the token exchange with something else") from None
        self._token = exchanged.access_token
        self._asked_at = asked_at
        self._renew_at = asked_at + RENEW_AT * exchanged.expires_in_s

    async def _ask(self) -> httpx.Response:
        body = {"bridge_token": self._bridge_token.get_secret_value()}
        if self._instance is not None:
            body["instance"] = self._instance
        try:
            return await self._http.post("auth/bridge-token", json=body)
        except httpx.HTTPError as error:
            raise CloudUnavailable(f"the cloud does not answer: {error!r}") from None
