"""Attacks on the signatures and keys of tokens: each of RFC 8725, and each that the library alone lets through."""

import hashlib
import hmac
import json
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from jose import jwk, jws

from fluxprint_common.principal import principal_of
from fluxprint_common.tokens import SharedSecret, SigningKey, TokenError, UnknownKey, public_key, thumbprint
from support.forged_tokens import ISSUING, KEY, PUBLIC, Keys, es256_token, header, hmac_token, refused, text, verifier
from support.small_service import access_claims, new_key_pem

PEM_OF_ATTACKER = new_key_pem()


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


def test_the_library_alone_accepts_what_the_wrapper_refuses() -> None:
    """Why the wrapper is there; when this fails, python-jose has improved and the wrapper may shrink."""
    token = es256_token({"crit": ["x"], "x": 1})
    assert jws.verify(token, jwk.construct(KEY.public_jwk, "ES256"), algorithms=["ES256"])
