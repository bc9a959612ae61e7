"""Attacks by writing a token otherwise."""

from collections.abc import Callable

import pytest

from fluxprint_common.tokens import TokenError
from support.forged_tokens import ISSUING, es256_token, refused, text, verifier
from support.small_service import access_claims


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
