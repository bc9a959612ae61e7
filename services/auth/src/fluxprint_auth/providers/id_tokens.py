"""ID tokens of OpenID Connect providers: believed only with every claim there and right.

Source: OpenID Connect Core 1.0, 3.1.3.7 (validation) and 3.1.3.6 (`at_hash`); RFC 8725.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import httpx
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from fluxprint_auth.providers.http import ProviderFailed, ask_for_object
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

Claims = Mapping[str, object]

MAX_TOKEN_CHARS = 16 * 1024
MAX_KEYS = 30
MIN_RSA_BITS = 2048
LEEWAY_S = 60  # a provider's clock is not ours
MAX_AGE_S = 600  # it was made just now, for this sign-in
KEYS_KEPT_S = 3600.0
ASK_AGAIN_AFTER_S = 5.0


class ProviderKeys:
    """The keys that a provider signs with: each with the one algorithm that belongs to its kind.

    A key that is not known is asked for, at most every 5 s; those who come meanwhile wait for the one answer. Known
    keys are used on while the provider is away.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._keys: dict[str, tuple[str, RSAKey | ECKey]] = {}
        self._asked_at: float | None = None
        self._fetched_at: float | None = None
        self._lock = asyncio.Lock()

    async def get(self, url: str, kid: str | None) -> tuple[str, RSAKey | ECKey]:
        """The algorithm and the key of that id; without one, the only key.

        Raises:
            ProviderFailed: there is none.
        """
        async with self._lock:
            found = self._find(kid)
            if found is None or _is_older(self._fetched_at, KEYS_KEPT_S):
                if _is_older(self._asked_at, ASK_AGAIN_AFTER_S):
                    await self._renew(url)
                found = self._find(kid)
        if found is None:
            raise ProviderFailed("unknown_key", is_away=self._fetched_at is None)
        return found

    async def _renew(self, url: str) -> None:
        self._asked_at = time.monotonic()
        try:
            await self._fetch(url)
        except ProviderFailed as failure:
            log.warning("provider_keys_not_fetched", url=url, reason=failure.reason)
        else:
            self._fetched_at = time.monotonic()

    def _find(self, kid: str | None) -> tuple[str, RSAKey | ECKey] | None:
        if kid is not None:
            return self._keys.get(kid)
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    async def _fetch(self, url: str) -> None:
        documents = (await ask_for_object(self._http, "GET", url)).get("keys")
        if not isinstance(documents, list):
            raise ProviderFailed("no_keys")
        keys = {}
        for document in documents[:MAX_KEYS]:
            if isinstance(document, dict) and (key := _usable(document)) is not None:
                keys[str(document.get("kid", ""))] = key
        self._keys = keys


def _is_older(moment: float | None, age_s: float) -> bool:
    return moment is None or time.monotonic() - moment > age_s


def _usable(document: dict[str, object]) -> tuple[str, RSAKey | ECKey] | None:
    """A public signature key of a kind that we take; others are passed over (RFC 7517, 5)."""
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    if "d" in document or texts.get("use", "sig") != "sig":
        return None
    try:
        # The library warns of short keys instead of refusing them: those are not even shown to it.
        if texts.get("kty") == "RSA" and texts.get("alg", "RS256") == "RS256" and len(texts["n"]) * 6 >= MIN_RSA_BITS:
            rsa = RSAKey.import_key({name: texts[name] for name in ("kty", "n", "e")})
            return ("RS256", rsa) if rsa.raw_value.key_size >= MIN_RSA_BITS else None
        if texts.get("kty") == "EC" and texts.get("crv") == "P-256" and texts.get("alg", "ES256") == "ES256":
            return "ES256", ECKey.import_key({name: texts[name] for name in ("kty", "crv", "x", "y")})
    except (JoseError, ValueError, KeyError) as error:
        log.warning("provider_key_passed_over", error=repr(error))
    return None


async def verify(
    token: str, keys: ProviderKeys, *, keys_url: str, issuer: str, client_id: str, nonce: str, access_token: str | None
) -> Claims:
    """The claims of an ID token that this provider made for us, now, for this sign-in.

    Raises:
        ProviderFailed: with the reason, for the audit.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise ProviderFailed("id_token_too_long")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise ProviderFailed("id_token_malformed") from error
    kid = header.get("kid")
    algorithm, key = await keys.get(keys_url, kid if isinstance(kid, str) else None)
    if header.get("alg") != algorithm:
        raise ProviderFailed("id_token_algorithm")
    try:
        payload = jws.deserialize_compact(token.encode(), key, algorithms=[algorithm]).payload
        claims = json.loads(payload or b"")
    except (JoseError, ValueError, RecursionError) as error:
        raise ProviderFailed("id_token_signature") from error
    if not isinstance(claims, dict):
        raise ProviderFailed("id_token_malformed")
    _check_parties(claims, issuer=issuer, client_id=client_id)
    _check_times(claims, now=time.time())
    _check_binding(claims, nonce=nonce, access_token=access_token)
    return claims


def _check_parties(claims: Claims, *, issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise ProviderFailed("id_token_issuer")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences:
        raise ProviderFailed("id_token_audience")
    if (len(audiences) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise ProviderFailed("id_token_authorised_party")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise ProviderFailed("id_token_subject")


def _check_times(claims: Claims, *, now: float) -> None:
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    # bool is an int to Python, but not a time; and some providers write fractions.
    if any(type(moment) not in (int, float) for moment in (issued, expires, not_before)):
        raise ProviderFailed("id_token_times")
    if now >= _number(expires) + LEEWAY_S:
        raise ProviderFailed("id_token_expired")
    if not now - MAX_AGE_S - LEEWAY_S <= _number(issued) <= now + LEEWAY_S or _number(not_before) > now + LEEWAY_S:
        raise ProviderFailed("id_token_not_of_now")


def _check_binding(claims: Claims, *, nonce: str, access_token: str | None) -> None:
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise ProviderFailed("id_token_nonce")
    if "at_hash" in claims:
        half = hashlib.sha256((access_token or "").encode()).digest()[:16]
        expected = base64.urlsafe_b64encode(half).rstrip(b"=").decode()
        if claims["at_hash"] != expected:
            raise ProviderFailed("id_token_access_token")


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
