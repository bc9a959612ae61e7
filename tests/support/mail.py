"""A real mail server, and what it was sent."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LINK = re.compile(r"(https?://\S+)#token=(fx[il]_\w+)")


@dataclass
class MailServer:
    """Takes every mail, or answers what a test says."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    answer: str = "250 taken"
    held: asyncio.Event | None = None
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def hold_the_next(self) -> asyncio.Event:
        """The next mail is answered once the event is set."""
        self.held = asyncio.Event()
        return self.held

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        held, self.held = self.held, None
        if held is not None:
            await held.wait()
        if self.answer.startswith("250"):
            self.mails.append(parsed(envelope.original_content or b""))
            self.recipients.extend(envelope.rcpt_tos)
            self.came.set()
        return self.answer

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _kind: str, data: Any) -> AuthResult:
        """Believes whoever sends a password, and keeps it."""
        assert isinstance(data, LoginPassword)
        self.passwords.append(data.password.decode())
        return AuthResult(success=True)

    async def count(self, wanted: int) -> None:
        """Wait until so many have come."""
        async with asyncio.timeout(20):
            while len(self.mails) < wanted:
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def running_mail_server(port: int, into: MailServer | None = None, **options: Any) -> AsyncIterator[MailServer]:
    """A mail server on loopback until the block ends."""
    server = into or MailServer(port)
    connections: list[SMTP] = []

    def connected() -> SMTP:
        connections.append(SMTP(server, **options))
        return connections[-1]

    listening = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", port)
    try:
        yield server
    finally:
        listening.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        await listening.wait_closed()


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def token_in(message: EmailMessage) -> str:
    """The token of the one link."""
    found = _LINK.search(text_of(message))
    assert found, text_of(message)
    return found[2]


def certificate(folder: Path, name: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """What a server shows that says it is `name`, and the file that makes clients believe it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, kept = folder / "certificate.pem", folder / "key.pem"
    shown.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    kept.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, kept)
    return context, shown


@dataclass
class MailFolder:
    """The mails that a service has written into files, but for those with the subject `ignoring`."""

    path: Path
    ignoring: str = ""

    def to(self, address: str) -> list[EmailMessage]:
        """Those to one address, oldest first."""
        files = sorted(self.path.glob("*.eml"), key=lambda file: file.name)
        mails = [_mail_in(file) for file in files]
        mine = [mail for mail in mails if mail["To"].addresses[0].addr_spec.lower() == address]
        return [mail for mail in mine if mail["Subject"] != self.ignoring]

    async def next_to(self, address: str, count: int = 1) -> EmailMessage:
        """The mail to that address that makes it so many."""
        async with asyncio.timeout(30):
            while len(found := self.to(address)) < count:
                await asyncio.sleep(0.02)
        return found[count - 1]


@lru_cache(maxsize=4096)
def _mail_in(file: Path) -> EmailMessage:
    """Read once: reading a mail takes a millisecond, and there are many looks at all of them."""
    return parsed(file.read_bytes())
