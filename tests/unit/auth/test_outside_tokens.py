"""Tokens of a trusted outside issuer: what is believed of them, and what not whatever they say."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jws

from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.outside.mapping import ClaimMapping, ClaimNames, Unmapped
from fluxprint_auth.outside.tokens import OutsideJwks, OutsideSecret, OutsideVerifier, outside_public_key
from fluxprint_common.jwks import JwksClient
from fluxprint_common.tokens import SigningKey, TokenError
from support.tokens import new_signing_key

SECRET = "outside-secret-of-the-tests-0123456789abcdef"
ISSUER = "https://shop.example.org"
AUDIENCE = "fluxprint"


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    full = {"iss": ISSUER, "aud": AUDIENCE, "sub": "42", "iat": now, "exp": now + 600, "role": "staff"} | changed
    return {name: value for name, value in full.items() if value is not ...}


def signed(key: str, what: Mapping[str, object], algorithm: str = "HS256", **headers: Any) -> str:
    return str(jws.sign(dict(what), key, headers=headers, algorithm=algorithm))


def by_hand(header: Mapping[str, object], what: Mapping[str, object], signature: bytes = b"x" * 32) -> str:
    parts = (json.dumps(header).encode(), json.dumps(what).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def with_secret() -> OutsideVerifier:
    return OutsideVerifier(OutsideSecret(SECRET), issuer=ISSUER, audience=AUDIENCE, max_lifetime_s=3600)


def with_jwks(*documents: Mapping[str, object]) -> OutsideVerifier:
    def serve(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"keys": documents})

    http = httpx.AsyncClient(transport=httpx.MockTransport(serve))
    keys = OutsideJwks(JwksClient("https://shop.example.org/jwks", http=http, parse=outside_public_key))
    return OutsideVerifier(keys, issuer=ISSUER, audience=AUDIENCE, max_lifetime_s=3600)


def rsa_key(bits: int = 2048) -> tuple[str, dict[str, Any]]:
    """A private key as PEM, and its public half as JWK."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    document = jwk.construct(pem, "RS256").public_key().to_dict()
    shown = {name: value.decode() if isinstance(value, bytes) else value for name, value in document.items()}
    return pem, {**shown, "kid": "rsa-1", "use": "sig", "alg": "RS256"}


def spellings(key: SigningKey) -> list[str | bytes]:
    """A public key in every form in which a library might take it for a secret."""
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key.public_jwk[name] + "==")) for name in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return [
        public.public_bytes(serialization.Encoding.PEM, info),
        public.public_bytes(serialization.Encoding.DER, info),
        json.dumps(key.public_jwk),
        json.dumps(key.public_jwk, separators=(",", ":")),
        key.public_jwk["x"],
        key.kid,
    ]


async def reason(verifier: OutsideVerifier, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.reason


class TestASharedSecret:
    @pytest.mark.parametrize("headers", [{}, {"kid": "anything"}, {"kid": "../../etc/passwd"}, {"typ": "at+jwt"}])
    async def test_is_enough(self, headers: dict[str, Any]) -> None:
        assert (await with_secret().verify(signed(SECRET, claims(), **headers)))["sub"] == "42"

    @pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
    async def test_may_name_more_audiences_than_ours(self, aud: object) -> None:
        await with_secret().verify(signed(SECRET, claims(aud=aud)))

    async def test_may_write_times_with_fractions(self) -> None:
        await with_secret().verify(signed(SECRET, claims(iat=time.time(), exp=time.time() + 60.5)))

    @pytest.mark.parametrize("secret", ["", " ", "x" * 31])
    def test_is_never_short(self, secret: str) -> None:
        with pytest.raises(ValueError, match="at least 32"):
            OutsideSecret(secret)


class TestRefused:
    @pytest.mark.parametrize(
        "changed",
        [
            {"iss": ...}, {"iss": "https://evil.example.org"}, {"iss": [ISSUER]}, {"iss": ISSUER + "/"},
            {"aud": ...}, {"aud": "other"}, {"aud": []}, {"aud": None}, {"aud": {AUDIENCE: 1}}, {"aud": [[AUDIENCE]]},
            {"exp": ...}, {"exp": None}, {"exp": "9999999999"}, {"exp": True}, {"exp": int(time.time()) - 1},
            {"exp": int(time.time()) + 100_000}, {"exp": 10**30},
            {"iat": ...}, {"iat": int(time.time()) + 100_000}, {"iat": 0}, {"iat": "now"},
            {"nbf": int(time.time()) + 100_000}, {"nbf": None},
        ],
        ids=" ".join,  # the values hold the time of day
    )  # fmt: skip
    async def test_are_claims_that_do_not_fit(self, changed: dict[str, object]) -> None:
        await reason(with_secret(), signed(SECRET, claims(**changed)))

    @pytest.mark.parametrize("name", ["crit", "jku", "jwk", "x5u", "x5c"])
    async def test_are_headers_that_bring_their_key_along(self, name: str) -> None:
        header: dict[str, Any] = {name: ["exp"] if name == "crit" else "https://evil.example.org"}
        token = signed(SECRET, claims(), **header)
        assert await reason(with_secret(), token) == "unacceptable header"

    @pytest.mark.parametrize("algorithm", ["none", "None", "", "HS384", "HS512", "RS256", "ES256", None, 1, ["HS256"]])
    async def test_are_other_algorithms(self, algorithm: object) -> None:
        token = by_hand({"alg": algorithm, "typ": "JWT"}, claims())
        assert await reason(with_secret(), token) == "algorithm does not belong to the key"
        empty = by_hand({"alg": algorithm, "typ": "JWT"}, claims(), b"")
        await reason(with_secret(), empty)

    @pytest.mark.parametrize("other", ["", "outside", SECRET[:-1], SECRET + "0", SECRET.upper()])
    async def test_are_other_secrets(self, other: str) -> None:
        header, payload, _ = signed(SECRET, claims()).split(".")
        key = jwk.construct(other or "\0", "HS256")
        forged = base64.urlsafe_b64encode(key.sign(f"{header}.{payload}".encode())).rstrip(b"=").decode()
        assert await reason(with_secret(), f"{header}.{payload}.{forged}") == "bad signature"

    async def test_are_changed_tokens(self) -> None:
        header, payload, signature = signed(SECRET, claims()).split(".")
        more = base64.urlsafe_b64encode(json.dumps(claims(role="boss")).encode()).rstrip(b"=").decode()
        for token in (
            f"{header}.{more}.{signature}", f"{header}.{payload}.{signature[:-2]}", f"{header}.{payload}.",
            f"{header}.{payload}", f"{header}.{payload}.{signature}.x", f"{header}.{payload}.{signature} ", "", "a.b.c",
        ):  # fmt: skip
            await reason(with_secret(), token)


class TestKeyConfusion:
    async def test_our_public_key_is_no_shared_secret(self) -> None:
        own = new_signing_key()
        for spelling in spellings(own):
            raw = spelling if isinstance(spelling, bytes) else spelling.encode()
            head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
            body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=").decode()
            mac = hmac.new(raw, f"{head}.{body}".encode(), hashlib.sha256).digest()
            token = f"{head}.{body}." + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
            assert await reason(with_secret(), token) == "bad signature"
            assert await reason(with_jwks(own.public_jwk), token) == "no kid"

    async def test_a_published_key_is_no_shared_secret(self) -> None:
        _pem, document = rsa_key()
        for raw in (json.dumps(document), document["n"], "rsa-1"):
            token = signed(raw, claims(), kid="rsa-1")
            assert await reason(with_jwks(document), token) == "algorithm does not belong to the key"

    async def test_our_own_tokens_are_not_theirs(self) -> None:
        own = new_signing_key()
        token = own.sign(claims(jti="x"))
        assert await reason(with_secret(), token) == "algorithm does not belong to the key"
        other = new_signing_key()
        assert await reason(with_jwks(other.public_jwk), token) == "unknown kid"

    async def test_a_key_of_one_kind_signs_nothing_of_another(self) -> None:
        pem, document = rsa_key()
        own = new_signing_key()
        mixed = {**own.public_jwk, "kid": "rsa-1"}
        token = signed(pem, claims(), algorithm="RS256", kid="rsa-1")
        assert await reason(with_jwks(mixed), token) == "algorithm does not belong to the key"
        assert (await with_jwks(document).verify(token))["sub"] == "42"
        for algorithm in ("RS384", "RS512"):
            other = signed(pem, claims(), algorithm=algorithm, kid="rsa-1")
            assert await reason(with_jwks(document), other) == "algorithm does not belong to the key"


class TestPublishedKeys:
    async def test_of_both_kinds_are_taken(self) -> None:
        own = new_signing_key()
        pem, document = rsa_key()
        verifier = with_jwks(document, own.public_jwk)
        await verifier.verify(own.sign(claims()))
        await verifier.verify(signed(pem, claims(), algorithm="RS256", kid="rsa-1"))

    def test_that_are_weak_private_or_secret_are_passed_over(self) -> None:
        _pem, weak = rsa_key(1024)
        _pem, good = rsa_key()
        bad = [
            weak,
            {**good, "alg": "RS512"},
            {**good, "use": "enc"},
            {**good, "d": "AQAB"},
            {**good, "kid": ""},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "1", "alg": "HS256"},
            {"kty": "RSA", "kid": "1"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "1"},
        ]
        for document in bad:
            with pytest.raises(ValueError, match=r"key|kid"):
                outside_public_key(document)
        assert outside_public_key(good).algorithm == "RS256"


NAMES = ClaimNames(subject="sub", email="email", name="name", role="role", organisation=None)
MAPPING: dict[str, Any] = {
    "names": NAMES,
    "roles": {"staff": MemberRole.EDITOR, "boss": MemberRole.MANAGER, "guest": MemberRole.CLIENT},
    "organisation": "shop",
    "organisations": {},
    "emails_verified": False,
}


def mapping(**changed: object) -> ClaimMapping:
    return ClaimMapping(**(MAPPING | changed))


def names(**changed: object) -> ClaimNames:
    return ClaimNames(**({name: getattr(NAMES, name) for name in NAMES.__dataclass_fields__} | changed))


class TestMapping:
    @pytest.mark.parametrize(
        ("role", "ours"),
        [("staff", "editor"), (["guest", "boss", "unknown"], "manager"), (["guest", "staff"], "editor")],
    )
    def test_gives_the_highest_role_that_is_named(self, role: object, ours: str) -> None:
        assert mapping().read(claims(role=role)).role == ours

    @pytest.mark.parametrize(
        "role",
        [
            ...,
            None,
            "",
            "owner",
            "manager",
            "editor",
            "Staff",
            "staff ",
            [],
            ["admin"],
            {"staff": 1},
            1,
            True,
            [["boss"]],
        ],
    )
    def test_gives_none_that_is_not(self, role: object) -> None:
        with pytest.raises(Unmapped, match="role_unmapped"):
            mapping().read(claims(role=role))

    def test_finds_what_lies_deeper(self) -> None:
        deep = mapping(names=names(role="realm_access.roles"))
        assert deep.read(claims(realm_access={"roles": ["boss"]})).role == "manager"
        assert deep.read(claims(**{"realm_access.roles": "guest"})).role == "client"
        wrongs: list[object] = [{}, {"roles": {}}, "boss", ["boss"], None]
        for wrong in wrongs:
            with pytest.raises(Unmapped):
                deep.read(claims(realm_access=wrong))

    @pytest.mark.parametrize("sub", [..., "", None, True, 1.5, "x" * 256, "a\0b", "a\nb", "\ud800", ["42"], {"id": 42}])
    def test_knows_nobody_without_a_subject(self, sub: object) -> None:
        with pytest.raises(Unmapped, match="subject_missing"):
            mapping().read(claims(sub=sub))

    def test_takes_the_number_of_a_row_for_a_subject(self) -> None:
        assert mapping().read(claims(sub=42)).subject == "42"

    @pytest.mark.parametrize(
        ("said", "taken"),
        [
            ({"email": "Ada@Example.org"}, None),
            ({"email": "Ada@Example.org", "email_verified": True}, "ada@example.org"),
            ({"email": "ada@example.org", "email_verified": "true"}, None),
            ({"email": "ada@example.org", "email_verified": 1}, None),
            ({"email": "no address", "email_verified": True}, None),
            ({"email": ["ada@example.org"], "email_verified": True}, None),
            ({"email": "a" * 300 + "@example.org", "email_verified": True}, None),
        ],
    )
    def test_takes_an_address_only_where_it_was_verified(self, said: dict[str, object], taken: str | None) -> None:
        assert mapping().read(claims(**said)).email == taken

    def test_takes_every_address_where_the_setting_says_so(self) -> None:
        assert mapping(emails_verified=True).read(claims(email="ada@example.org")).email == "ada@example.org"

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("  Ada\n\tLovelace\0 ", "Ada Lovelace"),
            ("x" * 300, "x" * 100),
            ("\u202eada\ud800", "ada"),
            ("", "ada"),
            (None, "ada"),
            (7, "ada"),
        ],
    )
    def test_keeps_a_name_on_one_line(self, name: object, shown: str) -> None:
        assert mapping().read(claims(name=name, email="ada@example.org")).name == shown
        assert mapping().read(claims()).name == "Outside user"

    def test_finds_the_organisation_by_claim(self) -> None:
        free = mapping(organisation=None, names=names(organisation="org"))
        assert free.read(claims(org="shop")).organisation == "shop"
        fixed = mapping(organisation=None, names=names(organisation="org"), organisations={"7": "shop"})
        assert fixed.read(claims(org="7")).organisation == "shop"
        wrongs: list[object] = ["shop", "8", 7, None, "", ["7"], ...]
        for wrong in wrongs:
            with pytest.raises(Unmapped, match="organisation_unmapped"):
                fixed.read(claims(org=wrong))
        wrongs = ["Shop", "a\0b", "x" * 61, "\ud800", 7, None, {}]
        for wrong in wrongs:
            with pytest.raises(Unmapped, match="organisation_unmapped"):
                free.read(claims(org=wrong))
