"""Settings of mail that would lose it, or give a password away, are refused by name."""

import secrets
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from fluxprint_common.settings import Environment
from support.auth import settings_of

DATABASE = "postgresql+asyncpg://x:x@127.0.0.1/x"
SAFE = secrets.token_hex(32)
SENDER = "FluxPrint <flux@example.org>"


class TestMailSettings:
    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"mail_smtp_url": SecretStr("http://mail.example.org"), "mail_from": SENDER}, "AUTH_MAIL_SMTP_URL"),
            ({"mail_smtp_url": SecretStr("smtp://"), "mail_from": SENDER}, "AUTH_MAIL_SMTP_URL"),
            ({"mail_smtp_url": SecretStr("smtp://mail.example.org:x"), "mail_from": SENDER}, "AUTH_MAIL_SMTP_URL"),
            ({"mail_smtp_url": SecretStr("smtp://mail.example.org")}, "AUTH_MAIL_FROM"),
            ({"mail_smtp_url": SecretStr("smtp://mail.example.org"), "mail_from": "nobody"}, "AUTH_MAIL_FROM"),
            ({"mail_smtp_url": SecretStr("smtp://x.example.org"), "mail_from": SENDER, "mail_dir": "x"}, "MAIL_DIR"),
            (
                {
                    "mail_smtp_url": SecretStr("smtp://a:hunter2@m.example.org"),
                    "mail_from": SENDER,
                    "mail_smtp_starttls": "off",
                },
                "AUTH_MAIL_SMTP_STARTTLS",
            ),
            ({"link_base_url": "javascript:alert(1)"}, "link_base_url"),
        ],
    )  # fmt: skip
    def test_what_does_not_fit_is_named_and_no_password_shown(self, changed: dict[str, object], named: str) -> None:
        with pytest.raises(ValidationError, match=named) as refused:
            settings_of(DATABASE, **changed)
        assert "hunter2" not in str(refused.value)

    @pytest.mark.parametrize("url", ["smtp://a:b@m.example.org:587", "smtps://m.example.org", "smtp://127.0.0.1:25"])
    def test_what_fits_sends_mail(self, url: str) -> None:
        assert settings_of(DATABASE, mail_smtp_url=SecretStr(url), mail_from=SENDER).sends_mail
        assert not settings_of(DATABASE).sends_mail


class TestVerification:
    def test_is_required_by_itself_in_production_where_mail_is_sent(self) -> None:
        def is_required(environment: Environment = Environment.PRODUCTION, **changed: Any) -> bool:
            settings = settings_of(
                DATABASE.replace("x:x", f"x:{SAFE}"), environment=environment, secret=SecretStr(SAFE), **changed
            )
            return settings.requires_verified_email

        # The password of a mail account is not ours to judge.
        mail: dict[str, Any] = {"mail_smtp_url": SecretStr("smtp://a:short@m.example.org"), "mail_from": SENDER}
        assert is_required(**mail)
        assert not is_required()
        assert not is_required(Environment.DEVELOPMENT, **mail)
        assert not is_required(**mail, email_verification="off")
