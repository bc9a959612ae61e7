"""Tokens that no issuer would make, and a verifier that they are shown to."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS
from fluxprint_common.tokens import (
    SharedSecret,
    SigningKey,
    TokenError,
    TokenVerifier,
    UnknownKey,
    VerificationKey,
    public_key,
)
from support.small_service import AUDIENCE, ISSUER, Issuer, access_claims, new_key_pem

MAX_LIFETIME_S = 3600

PEM = new_key_pem()
ISSUING = Issuer([SigningKey(PEM)])
KEY = ISSUING.key
PUBLIC = ec.EllipticCurvePublicNumbers(
    int.from_bytes(base64.urlsafe_b64decode(KEY.public_jwk["x"] + "=")),
    int.from_bytes(base64.urlsafe_b64decode(KEY.public_jwk["y"] + "=")),
    ec.SECP256R1(),
).public_key()


class Keys:
    """The issuer's keys, without a network."""

    def __init__(self, *keys: SigningKey) -> None:
        self.known = {key.kid: public_key(key.public_jwk) for key in keys}

    async def get(self, kid: str) -> VerificationKey:
        if kid not in self.known:
            raise UnknownKey("unknown kid")
        return self.known[kid]


def verifier(keys: Keys | SharedSecret | None = None, *, now: Callable[[], float] = time.time) -> TokenVerifier:
    return TokenVerifier(
        keys or Keys(KEY), issuer=ISSUER, audience=AUDIENCE, required=ACCESS_TOKEN_CLAIMS,
        max_lifetime_s=MAX_LIFETIME_S, now=now,
    )  # fmt: skip


def text(value: bytes | Mapping[str, object]) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def header(**changed: object) -> dict[str, object]:
    full = {"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt", **changed}
    return {name: value for name, value in full.items() if value is not None}


def hmac_token(secret: bytes, **changed: object) -> str:
    """A token signed with HMAC-SHA-256, whatever its header says."""
    signed = f"{text(header(alg='HS256', **changed))}.{text(access_claims())}"
    return f"{signed}.{text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def es256_token(
    changed_header: Mapping[str, object] | bytes, claims: Mapping[str, object] | bytes | None = None
) -> str:
    """A token with a genuine signature of our issuer under any header and claims."""
    head = changed_header if isinstance(changed_header, bytes) else header(**changed_header)
    signed = f"{text(head)}.{text(access_claims() if claims is None else claims)}"
    private = serialization.load_pem_private_key(PEM.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{text(r.to_bytes(32) + s.to_bytes(32))}"


async def refused(token: str, *, keys: Keys | SharedSecret | None = None) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier(keys).verify(token)
    return caught.value.reason
