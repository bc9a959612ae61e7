"""Forged tokens of a provider: each is refused, and the audit says why."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from support.auth import Auth
from support.meddling import (
    CLIENT_ID,
    CLIENT_SECRET,
    Forger,
    Meddler,
    by_hand,
    signed,
    with_secret,
)
from support.providers import Journey, OidcServer, outcome

#: Seconds from when a test runs, which may be long after it was read.
TIMES = ("exp", "iat", "nbf")


class TestForgedTokens:
    async def test_a_right_one_is_believed(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger
    ) -> None:
        """So that the others are refused for what is wrong with them."""
        assert await outcome(auth, journey, provider) == ("code", "")

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"iss": ...}, "id_token_issuer"),
            ({"iss": "https://evil.example.org"}, "id_token_issuer"),
            ({"aud": ...}, "id_token_audience"),
            ({"aud": "another client"}, "id_token_audience"),
            ({"aud": [CLIENT_ID, "another"]}, "id_token_authorised_party"),
            ({"aud": ["another"], "azp": CLIENT_ID}, "id_token_audience"),
            ({"azp": "another"}, "id_token_authorised_party"),
            ({"sub": ...}, "id_token_subject"),
            ({"sub": ""}, "id_token_subject"),
            ({"sub": 5}, "id_token_subject"),
            ({"sub": "x" * 256}, "id_token_subject"),
            ({"exp": ...}, "id_token_times"),
            ({"exp": "9999999999"}, "id_token_times"),
            ({"exp": True}, "id_token_times"),
            ({"exp": -120}, "id_token_expired"),
            ({"iat": ...}, "id_token_times"),
            ({"iat": 600}, "id_token_not_of_now"),
            ({"iat": -3600}, "id_token_not_of_now"),
            ({"nbf": 600}, "id_token_not_of_now"),
            ({"nonce": ...}, "id_token_nonce"),
            ({"nonce": ""}, "id_token_nonce"),
            ({"nonce": "x" * 43}, "id_token_nonce"),
            ({"at_hash": "x" * 22}, "id_token_access_token"),
        ],
    )
    async def test_every_claim_counts(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        forger: Forger,
        claims: dict[str, Any],
        reason: str,
    ) -> None:
        now = int(time.time())
        forger.claims = {
            name: now + value if name in TIMES and type(value) is int else value for name, value in claims.items()
        }
        assert await outcome(auth, journey, provider) == ("provider_failed", reason)

    @pytest.mark.parametrize("claims", [{"aud": [CLIENT_ID]}, {"aud": [CLIENT_ID, "b"], "azp": CLIENT_ID}])
    async def test_several_audiences_are_right_where_we_are_the_party(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger, claims: dict[str, Any]
    ) -> None:
        forger.claims = claims
        assert await outcome(auth, journey, provider) == ("code", "")

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda claims: by_hand(claims, {"alg": "none", "kid": "published"}), "id_token_algorithm"),
            (lambda claims: by_hand(claims, {"alg": "RS256", "kid": "published"}), "id_token_signature"),
            (lambda claims: by_hand(claims, {"alg": "RS256", "kid": "published"}, "AAAA"), "id_token_signature"),
            (lambda claims: by_hand(claims, {"kid": "published"}, "AAAA"), "id_token_malformed"),
            (lambda _: "a.b", "id_token_malformed"),
            (lambda _: "a.b.c.d.e", "id_token_malformed"),
            (lambda _: "", "id_token_malformed"),
            (lambda _: "x" * 20_000, "id_token_too_long"),
        ],
    )
    async def test_no_signature_is_no_token(
        self,
        auth: Auth,
        journey: Journey,
        provider: OidcServer,
        meddler: Meddler,
        forger: Forger,
        make: Callable[[dict[str, Any]], str],
        reason: str,
    ) -> None:
        forger.replace(meddler, make)
        learnt, why = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"
        assert why in {reason, "id_token_malformed"}

    async def test_another_key_of_the_same_id(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        other = RSAKey.generate_key(2048)
        forger.replace(meddler, lambda claims: signed(claims, other, {"alg": "RS256", "kid": "published"}))
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_signature")

    async def test_a_key_that_the_token_brings_along(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        other = RSAKey.generate_key(2048)
        header = {"alg": "RS256", "kid": "published", "jwk": other.as_dict(private=False)}
        forger.replace(meddler, lambda claims: signed(claims, other, header))
        learnt, reason = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"
        assert reason in {"id_token_malformed", "id_token_signature"}

    @pytest.mark.parametrize("secret", ["public key", "client secret"])
    async def test_a_shared_secret_is_no_key(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger, secret: str
    ) -> None:
        """What everybody knows of the key, or what we know ourselves, as the key of an HMAC."""
        text = forger.key.as_pem(private=False) if secret == "public key" else CLIENT_SECRET.encode()
        header = {"alg": "HS256", "kid": "published"}
        forger.replace(meddler, lambda claims: with_secret(claims, header, text))
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_algorithm")

    @pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
    async def test_another_algorithm_of_the_right_key(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger, algorithm: str
    ) -> None:
        forger.header = {"alg": algorithm}
        assert await outcome(auth, journey, provider) == ("provider_failed", "id_token_algorithm")

    async def test_a_header_that_must_be_understood(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        header = {"alg": "RS256", "kid": "published", "crit": ["exp"], "exp": 1}
        forger.replace(meddler, lambda claims: by_hand(claims, header, "AAAA"))
        learnt, _ = await outcome(auth, journey, provider)
        assert learnt == "provider_failed"

    async def test_a_key_that_nobody_published(
        self, auth: Auth, journey: Journey, provider: OidcServer, forger: Forger
    ) -> None:
        forger.header = {"kid": "another"}
        assert await outcome(auth, journey, provider) == ("provider_failed", "unknown_key")

    async def test_published_keys_that_are_none(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        """A short one, a secret one, one for encryption, one that should be private."""
        short = {"kty": "RSA", "kid": "short", "e": "AQAB", "n": "u" * 171}  # 1024 bits
        shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}
        private = RSAKey.generate_key(2048).as_dict(private=True) | {"kid": "private"}
        encrypting = RSAKey.generate_key(2048).as_dict(private=False) | {"kid": "encrypting", "use": "enc"}
        forger.publish(meddler, short, shared, private, encrypting)
        for kid in ("short", "shared", "private", "encrypting"):
            forger.header = {"kid": kid}
            assert await outcome(auth, Journey(auth), provider) == ("provider_failed", "unknown_key")
        forger.header = {}
        assert await outcome(auth, Journey(auth), provider) == ("code", "")

    async def test_an_elliptic_key_is_as_good(
        self, auth: Auth, journey: Journey, provider: OidcServer, meddler: Meddler, forger: Forger
    ) -> None:
        key = ECKey.generate_key("P-256")
        forger.publish(meddler, key.as_dict(private=False) | {"kid": "ec"})
        forger.replace(meddler, lambda claims: signed(claims, key, {"alg": "ES256", "kid": "ec"}))
        assert await outcome(auth, journey, provider) == ("code", "")
