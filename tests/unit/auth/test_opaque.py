"""Tokens that clients hold for long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxprint_auth import opaque
from fluxprint_common.logs import redact


class TestTokens:
    @pytest.mark.parametrize("prefix", [opaque.REFRESH, opaque.BRIDGE])
    def test_look_like_what_secret_scanners_search(self, prefix: str) -> None:
        token = opaque.new_token(prefix)
        assert re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{49}}", token)
        assert opaque.is_well_formed(prefix, token)
        assert redact(None, "info", {"text": f"it was {token}"}) == {"text": "it was [redacted]"}

    def test_are_all_different(self) -> None:
        assert len({opaque.new_token("fxr") for _ in range(1000)}) == 1000

    def test_of_another_kind_are_not_well_formed(self) -> None:
        assert not opaque.is_well_formed(opaque.REFRESH, opaque.new_token(opaque.BRIDGE))

    @given(place=st.integers(4, opaque.TOKEN_CHARS - 1), other=st.characters())
    def test_with_a_wrong_character_are_not_well_formed(self, place: int, other: str) -> None:
        token = opaque.new_token(opaque.REFRESH)
        changed = token[:place] + other + token[place + 1 :]
        assert opaque.is_well_formed(opaque.REFRESH, changed) == (changed == token)

    @given(st.text(max_size=60))
    def test_are_not_mistaken_for_anything_else(self, text: str) -> None:
        assert not opaque.is_well_formed(opaque.REFRESH, text)


class TestSuccessors:
    def test_follow_from_token_and_nonce_together(self) -> None:
        token, nonce = opaque.new_token(opaque.REFRESH), b"n" * opaque.NONCE_BYTES
        successor = opaque.successor_of(token, nonce)
        assert opaque.is_well_formed(opaque.REFRESH, successor)
        assert successor == opaque.successor_of(token, nonce)
        assert successor != opaque.successor_of(token, b"m" * opaque.NONCE_BYTES)
        assert successor != opaque.successor_of(opaque.new_token(opaque.REFRESH), nonce)
