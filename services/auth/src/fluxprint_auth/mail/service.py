"""Mail: written into the outbox in the transaction that it tells of, sent by a background loop."""

import json
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.keyring import Purpose
from fluxprint_auth.mail import repository
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.rendering import render
from fluxprint_common.database import after_commit


async def send(
    session: AsyncSession,
    mailer: Mailer,
    template: str,
    *,
    to: str | None,
    useful_for: timedelta | None = None,
    **facts: object,
) -> None:
    """Write a mail that leaves once this transaction is committed. Where mail is off, nothing happens.

    Args:
        template: `templates/<template>.txt` and `.html`.
        to: one normalised address; None writes a mail to nobody, at the same cost, so that the time of an
            answer doesn't tell whether there is an account.
        useful_for: after this it is not worth sending any more; at most `AUTH_MAIL_GIVE_UP_S`.
        facts: what the template names. Links are made with `mailer.link(page, token)`.
    """
    if not mailer.enabled:
        return
    mail = render(template, {"site": mailer.link_base_url, **facts})
    content = json.dumps({"subject": mail.subject, "text": mail.text, "html": mail.html}).encode()
    give_up_after = min(useful_for or mailer.give_up_after, mailer.give_up_after)
    await repository.insert(
        session,
        template=template,
        recipient=to,
        content=mailer.keyring.encrypt(Purpose.MAIL, content),
        give_up_after=give_up_after,
    )
    after_commit(session, mailer.wake.set)
