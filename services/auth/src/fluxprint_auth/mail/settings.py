"""Settings of mail: `AUTH_*`."""

from email.utils import parseaddr
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import BaseModel, Field, SecretStr, model_validator

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class MailSettings(BaseModel):
    """How mail leaves: to an SMTP server, or into files while one develops. With neither there is no mail."""

    mail_smtp_url: SecretStr | None = Field(None, description="smtp(s)://user:password@host:port")
    mail_smtp_starttls: Literal["required", "off"] = Field(
        "required", description="For smtp://; smtps:// always is TLS"
    )
    mail_smtp_ca_file: Path | None = Field(None, description="A certificate authority of one's own, as PEM")
    mail_from: str = Field("", max_length=300, description="FluxPrint <fluxprint@example.org>")
    mail_dir: Path | None = Field(None, description="One .eml file for each mail, instead of SMTP")
    mail_give_up_s: int = Field(3 * 86400, ge=60, le=30 * 86400)
    link_base_url: str = Field("", pattern=r"^(https?://[^?#\s]+)?$", description="Default: the public URL")

    @property
    def sends_mail(self) -> bool:
        """Whether mail leaves at all."""
        return self.mail_smtp_url is not None or self.mail_dir is not None

    @model_validator(mode="after")
    def _check_mail(self) -> Self:
        if self.mail_smtp_url is not None and self.mail_dir is not None:
            raise ValueError("AUTH_MAIL_DIR: set this or AUTH_MAIL_SMTP_URL, not both")
        if self.mail_smtp_url is not None:
            _check_server(self.mail_smtp_url.get_secret_value(), starttls=self.mail_smtp_starttls)
            _check_sender(self.mail_from)
        return self


def _check_server(url: str, *, starttls: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # its message may show the password
        fits = False
    if not fits:
        raise ValueError("AUTH_MAIL_SMTP_URL: not of the form smtp://user:password@host:587 or smtps://...:465")
    in_clear = parts.scheme == "smtp" and starttls == "off"
    if parts.password and in_clear and parts.hostname not in _LOOPBACK:
        raise ValueError(
            "AUTH_MAIL_SMTP_STARTTLS: a password must not cross a network in clear; use TLS, or no password"
        )


def _check_sender(sender: str) -> None:
    _, address = parseaddr(sender)
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise ValueError(
            "AUTH_MAIL_FROM: missing, or no address; AUTH_MAIL_SMTP_URL needs one: FluxPrint <fluxprint@example.org>"
        ) from None
