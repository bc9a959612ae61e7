"""Tables of identities at providers, and of sign-ins on their way there and back."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, encrypted, moment, moment_or_never
from fluxprint_auth.keyring import Purpose


class IdentityRow(Base):
    """What a person is at a provider. `subject` is what the provider promises never to give to another.

    Attributes:
        email: as the provider said at the last sign-in, for the person to recognise the identity.
        tokens: the provider's own tokens as JSON, encrypted.
    """

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("provider", "subject", name="uq_identity_subject"), Index(None, "user_id", "id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    provider: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()
    last_used_at: Mapped[datetime | None] = moment_or_never()
    tokens: Mapped[bytes | None] = encrypted(Purpose.PROVIDER_TOKENS)


class Stage(StrEnum):
    """Where a person is on the way; each is left once."""

    TICKET = "ticket"  # a signed-in person may set out, to link an identity
    AWAY = "away"  # at the provider
    ANSWERING = "answering"  # came back; the provider is being asked
    ANSWERED = "answered"  # the provider said who it is; the client's code is to be redeemed


class ProviderFlowRow(Base):
    """One way to a provider and back.

    Attributes:
        key_hash: of the secret that the next stage asks for: the ticket, the `state`, the client's code.
        browser_hash: of the cookie of the browser that set out.
        session_id: of the signed-in person who links an identity; without one it is a sign-in.
        code_challenge: the client's own (RFC 7636, S256): only who set out can redeem the code.
        sealed: what only we may read, encrypted: PKCE verifier and nonce on the way there, the profile on the way back.
    """

    __tablename__ = "provider_flow"
    __table_args__ = (
        UniqueConstraint("key_hash"),
        CheckConstraint("stage IN ({})".format(", ".join(repr(str(stage)) for stage in Stage)), name="stage"),
        Index(None, "session_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    browser_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.session.id", ondelete="CASCADE"))
    return_to: Mapped[str] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(Text)
    sealed: Mapped[bytes | None] = encrypted(Purpose.SIGN_IN_STATE)
    expires_at: Mapped[datetime] = moment()
