"""Signed tokens: python-jose behind one strict wrapper.

The library alone accepts a token without `aud` or `exp`, unknown `crit` headers, junk behind the signature, an empty
secret, and a DER public key as an HMAC secret. Here a key has exactly one algorithm, and every claim is required
and checked.
Source: RFC 7515, RFC 7519, RFC 8725 (best current practices), RFC 9068 (claims of access tokens).
"""

import base64
import binascii
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import jwk, jws
from jose.backends.base import Key
from jose.exceptions import JOSEError

Claims = Mapping[str, object]
Algorithm = Literal["ES256", "HS256", "RS256"]

MAX_TOKEN_CHARS = 8192
MIN_HMAC_BYTES = 32
LEEWAY_S = 5  # clocks of two machines
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_CACHE_SIZE = 4096


class TokenError(Exception):
    """A token that is not to be believed; `reason` is for the log, never for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKey(TokenError):
    """The token names a key that is not (yet) known."""


@dataclass(frozen=True)
class VerificationKey:
    """A key with the one algorithm that it may be used with."""

    kid: str
    algorithm: Algorithm
    key: Key


class KeySet(Protocol):
    """Where verification keys come from."""

    async def get(self, kid: str) -> VerificationKey:
        """The key of that id.

        Raises:
            UnknownKey: nobody knows it.
        """
        ...


class SigningKey:
    """A private key that signs tokens and publishes its public half."""

    def __init__(self, pem: str) -> None:
        try:
            private = serialization.load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("not an unencrypted PEM private key") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("not an EC key on P-256; make one with: openssl ecparam -name prime256v1 -genkey -noout")
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key = jwk.construct(pem, "ES256")
        numbers = jwk.construct(public.decode(), "ES256").to_dict()
        members = {name: _text(numbers[name]) for name in ("crv", "kty", "x", "y")}
        self.kid = thumbprint(members)
        self.public_jwk: dict[str, str] = {**members, "kid": self.kid, "use": "sig", "alg": "ES256"}

    def sign(self, claims: Claims) -> str:
        """A compact JWS of `claims`."""
        return str(jws.sign(dict(claims), self._key, headers={"kid": self.kid, "typ": "at+jwt"}, algorithm="ES256"))


class SharedSecret:
    """A symmetric key of one service, for tokens that only itself reads (view tokens)."""

    def __init__(self, secret: str, *, kid: str) -> None:
        if len(secret.encode()) < MIN_HMAC_BYTES:
            raise ValueError(f"a signing secret needs at least {MIN_HMAC_BYTES} bytes")
        self._key = VerificationKey(kid, "HS256", jwk.construct(secret, "HS256"))

    def sign(self, claims: Claims) -> str:
        """A compact JWS of `claims`."""
        headers = {"kid": self._key.kid, "typ": "at+jwt"}
        return str(jws.sign(dict(claims), self._key.key, headers=headers, algorithm="HS256"))

    async def get(self, kid: str) -> VerificationKey:
        if kid != self._key.kid:
            raise UnknownKey("unknown kid")
        return self._key


def public_key(document: Mapping[str, object]) -> VerificationKey:
    """A verification key from a JWK (RFC 7517); only P-256 signature keys are taken.

    Raises:
        ValueError: it is another kind of key, or not a public one.
    """
    if document.get("kty") != "EC" or document.get("crv") != "P-256" or document.get("alg", "ES256") != "ES256":
        raise ValueError("only ES256 keys are accepted")
    if "d" in document or document.get("use", "sig") != "sig":
        raise ValueError("not a public signature key")
    kid = document.get("kid")
    if not isinstance(kid, str) or not kid:
        raise ValueError("a key needs a kid")
    try:
        return VerificationKey(kid, "ES256", jwk.construct(dict(document), "ES256"))
    except JOSEError as error:
        raise ValueError("not a valid key") from error


def thumbprint(members: Mapping[str, str]) -> str:
    """The RFC 7638 thumbprint of a JWK's required members."""
    canonical = json.dumps(dict(sorted(members.items())), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


class TokenVerifier:
    """Checks tokens of one issuer for one audience.

    Args:
        keys: where the issuer's keys come from.
        required: the claims, beside the registered ones, that must be strings.
        max_lifetime_s: a token that lives longer is refused, whoever signed it.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        required: tuple[str, ...],
        max_lifetime_s: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._required = ("sub", "jti", *required)
        self._max_lifetime_s = max_lifetime_s
        self._now = now
        # Signature checks cost 100 times a dictionary look-up; a token's own end still counts at each use.
        self._verified: OrderedDict[str, tuple[VerificationKey, Claims]] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """The claims of a token that is genuine, meant for us and alive.

        Raises:
            TokenError: with the reason, for the log.
        """
        key, claims = self._verified.get(token, (None, {}))
        # A key that is no longer published takes its tokens with it.
        if key is None or await self._keys.get(key.kid) is not key:
            key, claims = self._verified[token] = await self._check(token)
            if len(self._verified) > _CACHE_SIZE:
                self._verified.popitem(last=False)
        self._check_times(claims)
        return claims

    async def _check(self, token: str) -> tuple[VerificationKey, Claims]:
        header, payload = read_unverified(token)
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or "crit" in header or header.get("typ") not in ("at+jwt", "JWT"):
            raise TokenError("unacceptable header")
        key = await self._keys.get(kid)
        if algorithm != key.algorithm:
            raise TokenError("algorithm does not belong to the key")
        try:
            jws.verify(token, key.key, algorithms=[key.algorithm])
        except JOSEError as error:
            raise TokenError("bad signature") from error
        if payload.get("iss") != self._issuer or payload.get("aud") != self._audience:
            raise TokenError("wrong issuer or audience")
        if any(not isinstance(payload.get(name), str) or not payload[name] for name in self._required):
            raise TokenError("a required claim is missing")
        return key, payload

    def _check_times(self, claims: Claims) -> None:
        issued, expires, now = claims.get("iat"), claims.get("exp"), self._now()
        # bool is an int to Python, but not a time.
        if type(issued) is not int or type(expires) is not int:
            raise TokenError("iat and exp must be whole seconds")
        if expires - issued > self._max_lifetime_s or issued > now + LEEWAY_S:
            raise TokenError("lifetime too long, or issued in the future")
        if now >= expires + LEEWAY_S:
            raise TokenError("expired")
        not_before = claims.get("nbf", issued)
        if type(not_before) is not int or not_before > now + LEEWAY_S:
            raise TokenError("not valid yet")


def unverified_issuer(token: str) -> str | None:
    """Who a token says it is from, to choose who is to check it; None where it can't be read. Believe nothing of it."""
    try:
        issuer = read_unverified(token)[1].get("iss")
    except TokenError:
        return None
    return issuer if isinstance(issuer, str) else None


def read_unverified(token: str) -> tuple[dict[str, object], dict[str, object]]:
    """Header and payload of a compact JWS, before anything in them is believed."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError("too long")
    segments = token.split(".")
    if len(segments) != 3 or not all(_SEGMENT.fullmatch(segment) for segment in segments):
        raise TokenError("not a compact JWS")
    _decode(segments[2])
    try:
        header, payload = (json.loads(_decode(segment)) for segment in segments[:2])
    except (ValueError, RecursionError) as error:
        raise TokenError("not JSON") from error
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise TokenError("not JSON objects")
    return header, payload


def _decode(segment: str) -> bytes:
    """Strict base64url: a second spelling of the same bytes is not the same token."""
    try:
        raw = base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenError("not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise TokenError("not canonical base64url")
    return raw


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
