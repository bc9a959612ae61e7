"""What mails are written with: the sender, where links lead, and what encrypts them in the outbox."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from fluxprint_auth.keyring import Keyring
from fluxprint_auth.mail.problems import MailDisabled
from fluxprint_auth.settings import AuthSettings

_NOBODY = "FluxPrint <fluxprint@localhost>"


class MailState(StrEnum):
    """As the health of the service shows it."""

    OFF = "not configured"
    SENDING = "connected"
    FAILING = "failing"


@dataclass
class Mailer:
    """One per process, at `app.state.mailer`.

    Attributes:
        enabled: whether mail is sent at all.
        wake: set when there is something new in the outbox.
    """

    keyring: Keyring
    enabled: bool
    sender: str
    link_base_url: str
    give_up_after: timedelta
    state: MailState = MailState.OFF
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, settings: AuthSettings, keyring: Keyring) -> "Mailer":
        return cls(
            keyring=keyring,
            enabled=settings.sends_mail,
            sender=settings.mail_from or _NOBODY,
            link_base_url=(settings.link_base_url or settings.public_url).rstrip("/"),
            give_up_after=timedelta(seconds=settings.mail_give_up_s),
            state=MailState.SENDING if settings.sends_mail else MailState.OFF,
        )

    def require(self) -> None:
        """Refuse what can't be done without mail.

        Raises:
            MailDisabled
        """
        if not self.enabled:
            raise MailDisabled

    def link(self, page: str, token: str) -> str:
        """The address of a page of the web application, with a token that only that page sees.

        The base is configured, and never what a request calls us: otherwise whoever asks for somebody else's link
        decides where it leads. What follows `#` is sent to no server, and so is in no log and no referrer.
        """
        return f"{self.link_base_url}/{page}#token={token}"
