"""How a mail leaves: SMTP (RFC 5321), encrypted and with the server's name verified, or a file while one develops."""

import asyncio
import os
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib
from email_validator import validate_email

from fluxprint_auth.mail.rendering import Rendered, one_line
from fluxprint_auth.settings import AuthSettings

STEP_TIMEOUT_S = 15.0
MODE = 0o600


class Refused(Exception):
    """This mail will never be taken; another may be."""


class Transport(Protocol):
    """Takes a mail, or raises: `Refused`, or anything else for what may pass."""

    async def send(self, message: EmailMessage) -> None: ...

    async def close(self) -> None: ...


def compose(mail_id: UUID, mail: Rendered, *, sender: str, to: str) -> EmailMessage:
    """The message (RFC 5322). No header can hold a line break: the policy refuses one."""
    name, address = parseaddr(sender)
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = Address(one_line(name), addr_spec=address)
    message["To"] = Address(addr_spec=_as_ascii(to))
    message["Subject"] = one_line(mail.subject)
    message["Date"] = format_datetime(datetime.now(UTC))
    # The same at each try, so that a mail that was sent twice can be told.
    message["Message-ID"] = f"<{mail_id.hex}@{address.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def _as_ascii(address: str) -> str:
    """With the domain as name servers know it; the part before it may need SMTPUTF8 (RFC 6531)."""
    found = validate_email(address, check_deliverability=False)
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"


class SmtpTransport:
    """One connection, kept as long as there is something to send."""

    def __init__(self, url: str, *, starttls: bool, ca_file: Path | None) -> None:
        parts = urlsplit(url)
        implicit = parts.scheme == "smtps"
        self._host = parts.hostname or ""
        self._port = parts.port or (465 if implicit else 587)
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._implicit, self._starttls = implicit, starttls and not implicit
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._server: aiosmtplib.SMTP | None = None

    async def send(self, message: EmailMessage) -> None:
        """Hand it over.

        Raises:
            Refused: the server said so for good (a 5xx to this recipient, sender or text).
            Exception: it can't be reached, or takes nothing now.
        """
        server = await self._connected()
        try:
            await server.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            codes = [refused.code for refused in error.recipients]
            if all(code >= 500 for code in codes):
                raise Refused(f"the server refused the recipient: {codes}") from None
            raise
        except aiosmtplib.SMTPResponseException as error:
            if error.code >= 500:
                raise Refused(f"the server refused the mail: {error.code}") from None
            raise
        except aiosmtplib.SMTPNotSupported:
            raise Refused("the server does not know addresses like this one (SMTPUTF8)") from None

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None and server.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    await server.quit()
            server.close()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._server is None or not self._server.is_connected:
            server = aiosmtplib.SMTP(
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._implicit,
                start_tls=self._starttls,
                tls_context=self._tls,
                timeout=STEP_TIMEOUT_S,
            )
            await server.connect()
            self._server = server
        return self._server


class FileTransport:
    """One file for each mail, for its owner only: the links in them open accounts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        await asyncio.to_thread(self._write, bytes(message), str(message["Message-ID"]))

    async def close(self) -> None:
        return

    def _write(self, content: bytes, message_id: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = message_id.strip("<>").partition("@")[0]
        file = self._folder / f"{name}.eml"  # sorted by time, as the ids are
        new = file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "wb") as output:
            output.write(content)
        new.replace(file)


def make_transport(settings: AuthSettings) -> Transport | None:
    """What the settings describe; None where mail is off."""
    if settings.mail_smtp_url is not None:
        return SmtpTransport(
            settings.mail_smtp_url.get_secret_value(),
            starttls=settings.mail_smtp_starttls == "required",
            ca_file=settings.mail_smtp_ca_file,
        )
    return FileTransport(settings.mail_dir) if settings.mail_dir is not None else None
