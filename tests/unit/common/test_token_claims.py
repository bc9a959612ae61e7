"""Attacks on the header and the claims of tokens (RFC 8725), under genuine signatures."""

import json
import time

import pytest

from fluxprint_common.principal import principal_of
from fluxprint_common.tokens import TokenError
from support.forged_tokens import ISSUING, MAX_LIFETIME_S, es256_token, header, refused, verifier
from support.small_service import AUDIENCE, access_claims

REQUIRED = ("iss", "aud", "sub", "exp", "iat", "jti", "sid", "org", "role")


class TestHeaders:
    """RFC 7515, 4.1.11 and RFC 8725, 3.11."""

    @pytest.mark.parametrize("critical", [["exp"], ["b64"], ["x"], [], "x", None, 5])
    async def test_with_crit(self, critical: object) -> None:
        raw = json.dumps({**header(), "crit": critical, "x": 1, "b64": False}).encode()
        assert await refused(es256_token(raw)) == "unacceptable header"

    @pytest.mark.parametrize("kind", [None, "", "JOSE", "logout+jwt", "jwt+at", 5, ["JWT"]])
    async def test_of_another_type(self, kind: object) -> None:
        assert await refused(es256_token({"typ": kind})) == "unacceptable header"

    @pytest.mark.parametrize(
        "raw", [b"[]", b'"x"', b"null", b"5", b"", b"{", b"\xff\xfe", b"{}" * 2, b"[" * 3000, b'{"a":' * 1000]
    )
    async def test_that_are_no_object(self, raw: bytes) -> None:
        await refused(es256_token(raw))


class TestClaims:
    @pytest.mark.parametrize("name", REQUIRED)
    async def test_missing(self, name: str) -> None:
        await refused(ISSUING.token(without=[name]))

    @pytest.mark.parametrize("name", ["iss", "aud", "sub", "jti", "sid", "org", "role"])
    @pytest.mark.parametrize("value", [None, "", 5, True, [], {}, ["x"]])
    async def test_of_another_shape(self, name: str, value: object) -> None:
        await refused(ISSUING.token({name: value}))

    @pytest.mark.parametrize(
        "value", ["fluxprint-web", "FLUXPRINT-API", "fluxprint-api ", [AUDIENCE], [AUDIENCE, "x"], {AUDIENCE: 1}]
    )
    async def test_for_another_audience(self, value: object) -> None:
        assert await refused(ISSUING.token(aud=value)) == "wrong issuer or audience"

    @pytest.mark.parametrize("value", ["other", "fluxprint\u0000", "Fluxprint", ["fluxprint"]])
    async def test_of_another_issuer(self, value: object) -> None:
        assert await refused(ISSUING.token(iss=value)) == "wrong issuer or audience"

    @pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
    @pytest.mark.parametrize(
        "value", [True, False, "1790000000", 1790000000.5, [], {}, None, float("nan"), float("inf")]
    )
    async def test_times_of_another_shape(self, name: str, value: object) -> None:
        await refused(es256_token({}, json.dumps({**access_claims(), name: value}).encode()))

    @pytest.mark.parametrize(
        ("issued_s", "expires_s", "reason"),
        [
            pytest.param(-1000, -6, "expired", id="expired"),
            pytest.param(60, 900, "future", id="issued in the future"),
            pytest.param(0, MAX_LIFETIME_S + 10, "too long", id="lives too long"),
            pytest.param(-10**9, 60, "too long", id="was issued long ago"),
            pytest.param(0, -100, "expired", id="ends before it starts"),
            pytest.param(0, 10**30, "too long", id="for ever"),
        ],
    )  # fmt: skip
    async def test_times(self, issued_s: int, expires_s: int, reason: str) -> None:
        now = int(time.time())
        assert reason in await refused(ISSUING.token(iat=now + issued_s, exp=now + expires_s))

    async def test_not_before(self) -> None:
        assert await refused(ISSUING.token(nbf=int(time.time()) + 60)) == "not valid yet"
        await verifier().verify(ISSUING.token(nbf=int(time.time())))

    @pytest.mark.parametrize("raw", [b"[]", b"null", b"", b"{", b'{"exp": 1' + b"0" * 5000 + b"}", b"[" * 3000])
    async def test_that_are_no_object(self, raw: bytes) -> None:
        await refused(es256_token({}, raw))

    @pytest.mark.parametrize(
        "changed",
        [
            {"role": "god"}, {"role": "Owner"}, {"role": "bridge"}, {"sid": "x"}, {"sub": "user_1"},
            {"sub": "bridge_" + "0" * 32}, {"org": "user_" + "0" * 32},
        ],
    )  # fmt: skip
    async def test_that_our_issuer_would_not_write(self, changed: dict[str, object]) -> None:
        claims = await verifier().verify(ISSUING.token(changed))
        with pytest.raises(TokenError, match="claims of another shape"):
            principal_of(claims)

    @pytest.mark.parametrize("scope", ["nothing:at-all", "jobs:read files:everything", ["jobs:read"], 5])
    async def test_a_scope_narrows_and_never_widens(self, scope: object) -> None:
        everything = principal_of(access_claims(role="viewer")).permissions
        narrowed = principal_of(access_claims(role="viewer", scope=scope)).permissions
        assert narrowed < everything
        assert "jobs:write" not in narrowed
