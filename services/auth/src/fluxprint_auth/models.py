"""All tables of the auth service, for migrations."""

from fluxprint_auth.accounts.models import LoginThrottleRow, UserRow
from fluxprint_auth.api_keys.models import ApiKeyRow
from fluxprint_auth.bridges.models import BridgeInstanceRow, BridgeRow
from fluxprint_auth.database import Base
from fluxprint_auth.factors.models import RecoveryCodeRow, SecondFactorRow, SignInChallengeRow
from fluxprint_auth.invitations.models import InvitationRow
from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_auth.links.models import OneTimeLinkRow
from fluxprint_auth.mail.models import MailRow
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.outside.models import OutsideIdentityRow
from fluxprint_auth.pairings.models import PairingRow
from fluxprint_auth.providers.models import IdentityRow, ProviderFlowRow
from fluxprint_auth.revocations.models import RevocationRow
from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_auth.sessions.models import RefreshTokenRow, SessionRow
from fluxprint_auth.trusted_devices.models import TrustedDeviceRow

metadata = Base.metadata

__all__ = [
    "ApiKeyRow",
    "BridgeInstanceRow",
    "BridgeRow",
    "IdentityRow",
    "InvitationRow",
    "LoginThrottleRow",
    "MailRow",
    "MembershipRow",
    "OneTimeLinkRow",
    "OrganisationRow",
    "OutsideIdentityRow",
    "PairingRow",
    "ProviderFlowRow",
    "RecoveryCodeRow",
    "RefreshTokenRow",
    "RevocationRow",
    "SecondFactorRow",
    "SecurityEventRow",
    "SessionRow",
    "SignInChallengeRow",
    "SigningKeyRow",
    "TrustedDeviceRow",
    "UserRow",
    "metadata",
]
