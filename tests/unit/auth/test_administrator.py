"""What the administrator's creation refuses, before any database is asked."""

import io
import sys

import pytest

from fluxprint_auth.commands import create_admin
from fluxprint_auth.commands.running import CommandFailed
from support.auth import PASSWORD


class TestChecking:
    def test_takes_what_is_fine(self) -> None:
        root = create_admin.checked(
            email="Root@Example.org", name="Root", organisation="The Lab", password=lambda: PASSWORD
        )
        assert root.email == "root@example.org"
        assert PASSWORD not in repr(root)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"email": "root"}, "is no e-mail address"),
            ({"name": ""}, "cannot be a name"),
            ({"organisation": "two\nlines"}, "cannot be a name"),
            ({"password": lambda: "short"}, "must have 10 to 200 characters"),
            ({"password": lambda: "root@example.org"}, "too easy to guess"),
        ],
    )
    def test_says_what_is_not(self, changed: dict[str, object], message: str) -> None:
        fine = {"email": "root@example.org", "name": "Root", "organisation": "The Lab", "password": lambda: PASSWORD}
        with pytest.raises(CommandFailed, match=message):
            create_admin.checked(**(fine | changed))  # type: ignore[arg-type]

    def test_asks_for_no_password_when_the_rest_is_wrong(self) -> None:
        def ask() -> str:
            raise AssertionError

        with pytest.raises(CommandFailed, match="is no e-mail address"):
            create_admin.checked(email="root", name="Root", organisation="The Lab", password=ask)


class TestPassword:
    def test_comes_from_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f" {PASSWORD} \r\nmore\n"))
        assert create_admin.ask_for_password() == f" {PASSWORD} "

    def test_that_does_not_come_is_asked_for_in_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        with pytest.raises(CommandFailed, match="add --generate-password"):
            create_admin.ask_for_password()

    def test_is_generated_long_enough(self) -> None:
        assert len({create_admin.generate_password() for _ in range(100)}) == 100
        assert len(create_admin.generate_password()) >= 20
