"""All tables of the auth service, for migrations."""

from fluxprint_auth.accounts.models import LoginThrottle, User
from fluxprint_auth.bridges.models import Bridge
from fluxprint_auth.database import Base
from fluxprint_auth.organisations.models import Membership, Organisation
from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_auth.sessions.models import LoginSession, RefreshToken

metadata = Base.metadata

__all__ = [
    "Bridge",
    "LoginSession",
    "LoginThrottle",
    "Membership",
    "Organisation",
    "RefreshToken",
    "SecurityEventRow",
    "User",
    "metadata",
]
