"""Tokens that a trusted outside issuer signs, checked as strictly as ours: one algorithm per key, chosen by us.

What other libraries leave out is tolerated (`kid` with a shared secret, `jti`, `typ`); what makes a token good is not.
Source: RFC 7519, RFC 8725 (3.1: algorithms, 3.8: issuer and subject, 3.9: audience, 3.10: keys in headers are no keys).
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jose import jwk, jws
from jose.exceptions import JOSEError

from fluxprint_common.jwks import JwksClient
from fluxprint_common.tokens import (
    LEEWAY_S,
    MIN_HMAC_BYTES,
    Claims,
    TokenError,
    UnknownKey,
    VerificationKey,
    public_key,
    read_unverified,
)

MIN_RSA_BITS = 2048
#: A header that brings a key along, or changes what the rest means, is an attack or a misunderstanding.
_REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "enc", "zip"})


class OutsideKeys(Protocol):
    """Where the one key that a token must be signed with comes from."""

    async def of(self, kid: object) -> VerificationKey:
        """The key for a token that names `kid`. Raises: UnknownKey"""
        ...


class OutsideSecret:
    """A secret that the issuer shares with us. It has no names: `kid` chooses nothing."""

    def __init__(self, secret: str) -> None:
        if len(secret.encode()) < MIN_HMAC_BYTES:
            raise ValueError(f"a shared secret needs at least {MIN_HMAC_BYTES} bytes")
        self._key = VerificationKey("", "HS256", jwk.construct(secret, "HS256"))

    async def of(self, kid: object) -> VerificationKey:  # noqa: ARG002
        return self._key


class OutsideJwks:
    """The issuer's published keys."""

    def __init__(self, client: JwksClient) -> None:
        self._client = client

    async def of(self, kid: object) -> VerificationKey:
        if not isinstance(kid, str):
            raise UnknownKey("no kid")
        return await self._client.get(kid)


def outside_public_key(document: Mapping[str, object]) -> VerificationKey:
    """A verification key from a JWK: ES256 on P-256, or RS256 with 2048 bits or more.

    Raises:
        ValueError: it is another kind of key, a weak one, or not a public one.
    """
    if document.get("kty") != "RSA":
        return public_key(document)
    if document.get("alg", "RS256") != "RS256" or document.get("use", "sig") != "sig" or "d" in document:
        raise ValueError("not a public RS256 signature key")
    kid = document.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError("a key needs a kid")
    try:
        key = jwk.construct(dict(document), "RS256")
    except (JOSEError, ValueError, TypeError) as error:
        raise ValueError("not a valid key") from error
    prepared = getattr(key, "prepared_key", None)
    if not isinstance(prepared, RSAPublicKey) or prepared.key_size < MIN_RSA_BITS:
        raise ValueError(f"an RSA key needs at least {MIN_RSA_BITS} bits")
    return VerificationKey(kid, "RS256", key)


class OutsideVerifier:
    """Checks the tokens of one outside issuer for one audience.

    Args:
        max_lifetime_s: a token that lives longer is refused.
    """

    def __init__(
        self,
        keys: OutsideKeys,
        *,
        issuer: str,
        audience: str,
        max_lifetime_s: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._max_lifetime_s = max_lifetime_s
        self._now = now

    async def verify(self, token: str) -> Claims:
        """The claims of a token that is genuine, meant for us and alive.

        Raises:
            TokenError: with the reason, for the log. Unavailable: the issuer's keys were never fetched.
        """
        header, claims = read_unverified(token)
        if _REFUSED_HEADERS & header.keys() or str(header.get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
            raise TokenError("unacceptable header")
        key = await self._keys.of(header.get("kid"))
        if header.get("alg") != key.algorithm:
            raise TokenError("algorithm does not belong to the key")
        try:
            jws.verify(token, key.key, algorithms=[key.algorithm])
        except JOSEError as error:
            raise TokenError("bad signature") from error
        if claims.get("iss") != self._issuer or not self._is_for_us(claims.get("aud")):
            raise TokenError("wrong issuer or audience")
        self._check_times(claims)
        return claims

    def _is_for_us(self, audience: object) -> bool:
        return audience == self._audience or (isinstance(audience, list) and self._audience in audience)

    def _check_times(self, claims: Claims) -> None:
        issued, expires, now = moment(claims, "iat"), moment(claims, "exp"), self._now()
        if expires - issued > self._max_lifetime_s or issued > now + LEEWAY_S:
            raise TokenError("lifetime too long, or issued in the future")
        if now >= expires:
            raise TokenError("expired")
        if "nbf" in claims and moment(claims, "nbf") > now + LEEWAY_S:
            raise TokenError("not valid yet")


def moment(claims: Claims, name: str) -> float:
    """A NumericDate (RFC 7519, 2) of a token. Raises: TokenError"""
    value = claims.get(name)
    # bool is an int to Python, but not a time.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TokenError(f"{name} must be a time")
    return float(value)
