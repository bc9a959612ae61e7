"""Attacks on tokens: each of RFC 8725, and each that the library alone lets through."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jose import jwk, jws

from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, principal_of
from fluxprint_common.tokens import (
    SharedSecret,
    SigningKey,
    TokenError,
    TokenVerifier,
    UnknownKey,
    VerificationKey,
    public_key,
    thumbprint,
)
from support.small_service import AUDIENCE, ISSUER, Issuer, access_claims, new_key_pem

MAX_LIFETIME_S = 3600
REQUIRED = ("iss", "aud", "sub", "exp", "iat", "jti", "sid", "org", "role")

PEM = new_key_pem()
PEM_OF_ATTACKER = new_key_pem()
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


class TestGoodTokens:
    async def test_are_believed(self) -> None:
        claims = await verifier().verify(ISSUING.token(role="manager"))
        assert claims["role"] == "manager"
        assert principal_of(claims).role == "manager"

    async def test_built_by_hand_are_believed_so_the_attacks_below_fail_for_their_own_reason(self) -> None:
        assert (await verifier().verify(es256_token({})))["role"] == "editor"

    async def test_are_believed_from_the_cache_only_while_they_live(self) -> None:
        now = time.time()
        checks = verifier(now=lambda: now)
        token = ISSUING.token()
        await checks.verify(token)
        now += 900
        await checks.verify(token)  # the leeway for two machines' clocks
        now += 6
        with pytest.raises(TokenError, match="expired"):
            await checks.verify(token)

    async def test_are_not_believed_from_the_cache_when_their_key_is_withdrawn(self) -> None:
        keys = Keys(KEY)
        checks, token = verifier(keys), ISSUING.token()
        await checks.verify(token)
        keys.known.clear()
        with pytest.raises(UnknownKey):
            await checks.verify(token)

    async def test_of_a_shared_secret_are_believed(self) -> None:
        secret = SharedSecret("s" * 32, kid="view")
        claims = await verifier(secret).verify(secret.sign(access_claims(role="viewer")))
        assert claims["role"] == "viewer"


class TestAlgorithms:
    """RFC 8725, 2.1 and 3.1."""

    @pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["ES256"], {"a": 1}, True, 0])
    @pytest.mark.parametrize("signature", ["", "AA", "c2lnbmF0dXJl"])
    async def test_none_and_non_strings(self, algorithm: object, signature: str) -> None:
        await refused(f"{text(header(alg=algorithm))}.{text(access_claims())}.{signature}")

    @pytest.mark.parametrize("algorithm", ["ES384", "ES512", "RS256", "PS256", "HS256", "EdDSA", "es256", "ES256 "])
    async def test_another_one_over_a_genuine_signature(self, algorithm: str) -> None:
        assert await refused(es256_token({"alg": algorithm})) == "algorithm does not belong to the key"

    @pytest.mark.parametrize(
        "secret",
        [
            pytest.param(
                PUBLIC.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
                id="PEM",
            ),
            pytest.param(
                PUBLIC.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
                id="DER",
            ),
            pytest.param(
                PUBLIC.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint),
                id="point",
            ),
            pytest.param(json.dumps(KEY.public_jwk).encode(), id="JWK"),
            pytest.param(json.dumps({"keys": [KEY.public_jwk]}).encode(), id="JWKS"),
            pytest.param(KEY.kid.encode(), id="kid"),
            pytest.param(b"", id="empty secret"),
            pytest.param(b"secret", id="guessable secret"),
        ],
    )
    @pytest.mark.parametrize("algorithm", ["HS256", "ES256", "HS384"])
    async def test_a_public_value_as_hmac_secret(self, secret: bytes, algorithm: str) -> None:
        signed = f"{text(header(alg=algorithm))}.{text(access_claims())}"
        await refused(f"{signed}.{text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")

    async def test_a_shared_secret_s_key_verifies_no_signature_of_ours(self) -> None:
        secret = SharedSecret("s" * 32, kid=KEY.kid)
        assert await refused(es256_token({}), keys=secret) == "algorithm does not belong to the key"

    async def test_an_empty_secret_against_a_shared_secret(self) -> None:
        await refused(hmac_token(b"", kid="view"), keys=SharedSecret("s" * 32, kid="view"))

    @pytest.mark.parametrize("secret", ["", "short", "x" * 31])
    def test_a_short_secret_is_no_key(self, secret: str) -> None:
        with pytest.raises(ValueError, match="at least 32 bytes"):
            SharedSecret(secret, kid="view")

    async def test_rsa_under_our_key_s_name(self) -> None:
        private = rsa.generate_private_key(65537, 2048)
        for algorithm in ("RS256", "ES256"):
            signed = f"{text(header(alg=algorithm))}.{text(access_claims())}"
            await refused(f"{signed}.{text(private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}")


class TestKeys:
    """RFC 8725, 3.10: a header chooses among our keys, it never brings one."""

    async def test_of_an_attacker_under_our_kid(self) -> None:
        token = jws.sign(access_claims(), PEM_OF_ATTACKER, headers={"kid": KEY.kid, "typ": "at+jwt"}, algorithm="ES256")
        assert await refused(token) == "bad signature"

    @pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t"])
    async def test_in_the_header_are_ignored(self, member: str) -> None:
        attacker = SigningKey(PEM_OF_ATTACKER)
        values: dict[str, object] = {
            "jwk": attacker.public_jwk, "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/x",
            "x5c": ["AA"], "x5t": "AA",
        }  # fmt: skip
        headers = {"kid": KEY.kid, "typ": "at+jwt", member: values[member]}
        assert (
            await refused(jws.sign(access_claims(), PEM_OF_ATTACKER, headers=headers, algorithm="ES256"))
            == "bad signature"
        )

    @pytest.mark.parametrize("kid", [None, "", "unknown", 7, ["x"], {"x": 1}, True, "../../etc/passwd", "' OR 1=1 --"])
    async def test_that_nobody_published(self, kid: object) -> None:
        await refused(es256_token({"kid": kid}))

    async def test_of_another_of_our_issuers_keys(self) -> None:
        other = SigningKey(new_key_pem())
        await refused(es256_token({"kid": other.kid}), keys=Keys(KEY, other))

    def test_published_are_public(self) -> None:
        assert set(KEY.public_jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert KEY.kid == thumbprint({name: KEY.public_jwk[name] for name in ("crv", "kty", "x", "y")})

    def test_thumbprint_is_that_of_the_rfc(self) -> None:
        members = {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                   "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}  # fmt: skip
        assert thumbprint(members) == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"

    @pytest.mark.parametrize(
        "changed",
        [
            {"kty": "RSA"}, {"kty": "oct", "k": "AAAA"}, {"crv": "P-384"}, {"crv": "secp256k1"}, {"alg": "ES384"},
            {"alg": "HS256"}, {"alg": "none"}, {"use": "enc"}, {"d": "AAAA"}, {"kid": ""}, {"kid": None}, {"kid": 5},
            {"x": "AAAA"}, {"x": None}, {"x": 5}, {"y": ""}, {"x": KEY.public_jwk["y"]},
        ],
    )  # fmt: skip
    def test_of_another_kind_are_not_taken(self, changed: dict[str, object]) -> None:
        document = {name: value for name, value in {**KEY.public_jwk, **changed}.items() if value is not None}
        with pytest.raises(ValueError, match=r"."):
            public_key(document)

    @pytest.mark.parametrize(
        "pem",
        [
            "", "x" * 100, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode(),
            PUBLIC.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
        ],
    )  # fmt: skip
    def test_of_another_kind_sign_nothing(self, pem: str) -> None:
        with pytest.raises(ValueError, match="not an"):
            SigningKey(pem)


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


class TestSpelling:
    """One token has one spelling."""

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda t: t + "A", id="a character behind the signature"),
            pytest.param(lambda t: t + "AAAA", id="bytes behind the signature"),
            pytest.param(lambda t: t + "=", id="padding"),
            pytest.param(lambda t: t + ".", id="an empty segment behind"),
            pytest.param(lambda t: t + "\n", id="a line end behind"),
            pytest.param(lambda t: " " + t, id="a space before"),
            pytest.param(lambda t: t + "!junk", id="junk behind"),
            pytest.param(lambda t: t.replace(".", "..", 1), id="an empty segment"),
            pytest.param(lambda t: t.rsplit(".", 1)[0], id="no signature"),
            pytest.param(lambda t: t.rsplit(".", 1)[0] + ".", id="an empty signature"),
            pytest.param(lambda t: t[:-8], id="a cut signature"),
            pytest.param(lambda t: ".".join([*t.split(".")[:2], text(b"\0" * 64)]), id="zeros for a signature"),
            pytest.param(lambda t: ".".join([*t.split(".")[:2], text(b"\xff" * 64)]), id="ones for a signature"),
            pytest.param(lambda t: t[:4] + "\u0410" + t[5:], id="a Cyrillic letter"),
            pytest.param(lambda t: t[:40] + "\n" + t[40:], id="a line end inside"),
            pytest.param(lambda t: f"{{\"payload\":\"{t.split('.')[1]}\"}}", id="JSON serialisation"),
            pytest.param(lambda t: t + t, id="twice"),
            pytest.param(lambda t: "", id="nothing"),
            pytest.param(lambda t: ".." , id="only dots"),
            pytest.param(lambda t: "a" * 9000, id="too long"),
        ],
    )  # fmt: skip
    async def test_any_other_is_refused(self, spoil: Callable[[str], str]) -> None:
        await refused(spoil(ISSUING.token()))

    async def test_base64_with_stray_bits(self) -> None:
        """The last character of 64 bytes carries four bits that decoders drop: sixteen spellings of one signature."""
        token = ISSUING.token()
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = alphabet.index(token[-1]) & 0b110000
        others = [token[:-1] + alphabet[same + bits] for bits in range(16) if alphabet[same + bits] != token[-1]]
        assert len(others) == 15
        for other in others:
            assert await refused(other) == "not canonical base64url"

    async def test_the_other_alphabet(self) -> None:
        token = next(t for t in (ISSUING.token() for _ in range(200)) if "-" in t or "_" in t)
        await refused(token.replace("-", "+").replace("_", "/"))

    async def test_changed_claims_under_a_genuine_signature(self) -> None:
        head, _, signature = ISSUING.token(role="viewer").split(".")
        assert await refused(f"{head}.{text(access_claims(role='owner'))}.{signature}") == "bad signature"

    async def test_a_refused_token_is_refused_again(self) -> None:
        checks = verifier()
        token = es256_token({"typ": "JOSE"})
        for _ in range(2):
            with pytest.raises(TokenError):
                await checks.verify(token)


def test_the_library_alone_accepts_what_the_wrapper_refuses() -> None:
    """Why the wrapper is there; when this fails, python-jose has improved and the wrapper may shrink."""
    token = es256_token({"crit": ["x"], "x": 1})
    assert jws.verify(token, jwk.construct(KEY.public_jwk, "ES256"), algorithms=["ES256"])
