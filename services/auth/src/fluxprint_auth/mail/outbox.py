"""The background loop that empties the outbox. Any number of services may run it: each mail is one's own at a time.

Nothing is lost while the mail server is away. What a process had handed over when it died is sent again, with the
same `Message-ID`: at least once.
"""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge

from fluxprint_auth.keyring import Purpose, Unreadable
from fluxprint_auth.mail import repository
from fluxprint_auth.mail.mailer import Mailer, MailState
from fluxprint_auth.mail.models import MailRow
from fluxprint_auth.mail.rendering import Rendered
from fluxprint_auth.mail.transports import Refused, Transport, compose
from fluxprint_common.background import backoff_s
from fluxprint_common.database import Database
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_S = 5.0
SEND_TIMEOUT_S = 60.0
#: Longer than anybody sends; after it they are taken for dead.
LEASE = timedelta(seconds=120)
FIRST_PAUSE_S = 5
LONGEST_PAUSE_S = 600
#: However long the server is away, it is asked again after so many seconds.
LONGEST_REST_S = 30.0


class MailMetrics:
    """What is sent and what waits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter("auth_mails_total", "Mails that left the outbox", ["outcome"], registry=registry)
        self.failures = Counter("auth_mail_failures_total", "Tries that failed", registry=registry)
        self.waiting = Gauge("auth_mails_waiting", "Mails in the outbox", registry=registry)
        self.oldest = Gauge("auth_mail_oldest_waiting_seconds", "Age of the oldest of them", registry=registry)


class Outbox:
    """Sends what waits; run `run()` under a supervisor."""

    def __init__(self, database: Database, mailer: Mailer, transport: Transport, metrics: MailMetrics) -> None:
        self._database = database
        self._mailer = mailer
        self._transport = transport
        self._metrics = metrics
        self._failures = 0  # in a row, of the server, not of single mails

    async def run(self) -> None:
        """For ever: when something new was written, and every few seconds."""
        try:
            while True:
                self._mailer.wake.clear()
                await self.deliver()
                async with self._database.reading() as session:
                    waiting = await repository.waiting(session)
                self._metrics.waiting.set(waiting.count)
                self._metrics.oldest.set(waiting.oldest_s)
                await self._rest()
        finally:
            await self._transport.close()

    async def deliver(self) -> None:
        """Send what is due, one after the other, until nothing is left or the server takes nothing."""
        while True:
            _heed_cancellation()
            async with self._database.unit_of_work() as session:
                mail = await repository.claim(session, lease=LEASE)
            if mail is None or not await self._send(mail):
                await self._transport.close()
                break
        _heed_cancellation()

    async def _rest(self) -> None:
        if self._failures:  # new mails don't make a dead server answer
            await asyncio.sleep(backoff_s(self._failures, cap_s=LONGEST_REST_S))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._mailer.wake.wait()

    async def _send(self, mail: MailRow) -> bool:
        """Send one mail; False where the server takes nothing now."""
        if mail.recipient is None:
            await self._end(mail, error=None)
            return True
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._hand_over(mail, to=mail.recipient)
        except (Refused, Unreadable) as error:
            await self._end(mail, error=str(error))
        except Exception as error:
            await self._transport.close()
            await self._postpone(mail, error)
            return False
        else:
            await self._end(mail, error=None)
        self._failures = 0
        self._mailer.state = MailState.SENDING
        return True

    async def _hand_over(self, mail: MailRow, *, to: str) -> None:
        content = json.loads(self._mailer.keyring.decrypt(Purpose.MAIL, mail.content or b""))
        try:
            message = compose(mail.id, Rendered(**content), sender=self._mailer.sender, to=to)
        except Exception as error:  # tomorrow it can't be written either
            raise Refused(f"no mail can be made of it: {type(error).__name__}") from error
        await self._transport.send(message)

    async def _end(self, mail: MailRow, *, error: str | None) -> None:
        async with self._database.unit_of_work() as session:
            if error is None:
                await repository.mark_sent(session, mail.id, tries=mail.tries)
            else:
                await repository.mark_failed(session, mail.id, tries=mail.tries, error=error)
        if error is not None:
            self._metrics.ended.labels("failed").inc()
            log.error("mail_failed", mail=str(mail.id), template=mail.template, tries=mail.tries, error=error)
        elif mail.recipient is not None:
            self._metrics.ended.labels("sent").inc()
            log.info("mail_sent", mail=str(mail.id), template=mail.template, tries=mail.tries)

    async def _postpone(self, mail: MailRow, error: Exception) -> None:
        self._failures += 1
        self._mailer.state = MailState.FAILING
        self._metrics.failures.inc()
        reason = f"{type(error).__name__}: {error}"[:500]
        log.warning("mail_not_sent", mail=str(mail.id), template=mail.template, tries=mail.tries, error=reason)
        pause = timedelta(seconds=min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(mail.tries - 1, 10)))
        async with self._database.unit_of_work() as session:
            too_late = await repository.postpone(session, mail.id, tries=mail.tries, pause=pause, error=reason)
            if too_late:
                await repository.mark_failed(session, mail.id, tries=mail.tries, error=reason)
        if too_late:
            self._metrics.ended.labels("given_up").inc()
            log.error("mail_given_up", mail=str(mail.id), template=mail.template, tries=mail.tries, error=reason)


def _heed_cancellation() -> None:
    """`asyncio.wait_for` of Python 3.11, which aiosmtplib uses, loses a cancellation that comes with the answer."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
