"""E-mail addresses and passwords as people type them."""

import pytest

from fluxprint_auth.accounts.credentials import normalise_email, normalise_password


class TestEmail:
    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            ("Ada@Example.ORG", "ada@example.org"),
            ("ada+prints@example.org", "ada+prints@example.org"),
            ("ada@BÜCHER.example.org", "ada@bücher.example.org"),
            ("ADA@xn--bcher-kva.example.org", "ada@bücher.example.org"),
            ("jose\u0301@example.org", "jos\u00e9@example.org"),
        ],
    )
    def test_has_one_spelling(self, typed: str, kept: str) -> None:
        assert normalise_email(typed) == kept
        assert normalise_email(kept) == kept

    @pytest.mark.parametrize("typed", ["", "ada", "ada@", "@example.org", "a b@example.org", "Ada <ada@example.org>"])
    def test_that_mail_cannot_reach_is_refused(self, typed: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            normalise_email(typed)


class TestPassword:
    def test_has_one_spelling(self) -> None:
        assert normalise_password("cafe\u0301") == normalise_password("caf\u00e9")
