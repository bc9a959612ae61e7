"""What strangers choose stands in mails to people who do not know them."""

from datetime import UTC, datetime

import pytest

from fluxprint_auth.mail.rendering import name, render


class TestNames:
    @pytest.mark.parametrize(
        ("chosen", "shown"),
        [
            ("Ada Lovelace", '"Ada Lovelace"'),
            ("J. R. Smith", '"J. R. Smith"'),
            ("visit http://evil.example/x now", '"visit http evil. example x now"'),
            ("mail me@evil.example", '"mail me evil. example"'),
            ('He said "go"', "\"He said 'go'\""),
            ("x" * 100, f'"{"x" * 39}…"'),
        ],
    )
    def test_are_quoted_short_and_no_address(self, chosen: str, shown: str) -> None:
        assert name(chosen) == shown

    def test_are_shown_so_in_an_invitation(self) -> None:
        facts = {
            "organisation": "Alert: log in at evil.example/x", "inviter": "www.evil.example", "role": "editor",
            "link": "https://print.example.org/invitation#token=x", "until": datetime.now(UTC),
            "site": "print.example.org",
        }  # fmt: skip
        mail = render("invitation", facts)
        for text in (mail.subject, mail.text, mail.html):
            assert "evil.example" not in text
