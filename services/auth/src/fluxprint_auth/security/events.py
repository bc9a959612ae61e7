"""The names of security events: in the table, in the log and in the API. A name once given stays."""

from enum import StrEnum
from types import MappingProxyType


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"


class SecurityEvent(StrEnum):
    # accounts
    REGISTERED = "auth_registered"
    ADMINISTRATOR_CREATED = "auth_administrator_created"
    EMAIL_VERIFIED = "auth_email_verified"
    EMAIL_CHANGE_REQUESTED = "auth_email_change_requested"
    EMAIL_CHANGED = "auth_email_changed"
    PASSWORD_RESET_REQUESTED = "auth_password_reset_requested"  # noqa: S105  (a name)
    PASSWORD_RESET = "auth_password_reset"  # noqa: S105
    PASSWORD_CHANGED = "auth_password_changed"  # noqa: S105
    ACCOUNT_DISABLED = "auth_account_disabled"
    ACCOUNT_ENABLED = "auth_account_enabled"
    ACCOUNT_UNLOCKED = "auth_account_unlocked"
    # signing in
    LOGIN_SUCCEEDED = "auth_login_succeeded"
    LOGIN_FAILED = "auth_login_failed"
    LOCKOUT_TRIGGERED = "auth_lockout_triggered"
    REAUTHENTICATED = "auth_reauthenticated"
    REAUTHENTICATION_FAILED = "auth_reauthentication_failed"
    SECOND_FACTOR_FAILED = "auth_second_factor_failed"
    SECOND_FACTOR_ENABLED = "auth_second_factor_enabled"
    SECOND_FACTOR_DISABLED = "auth_second_factor_disabled"
    SECOND_FACTOR_RESET = "auth_second_factor_reset"
    RECOVERY_CODE_USED = "auth_recovery_code_used"
    RECOVERY_CODES_RENEWED = "auth_recovery_codes_renewed"
    PROVIDER_LINKED = "auth_provider_linked"
    PROVIDER_UNLINKED = "auth_provider_unlinked"
    PROVIDER_SIGN_IN_FAILED = "auth_provider_sign_in_failed"
    OUTSIDE_USER_APPEARED = "auth_outside_user_appeared"
    OUTSIDE_TOKEN_REFUSED = "auth_outside_token_refused"  # noqa: S105
    # sessions
    REFRESH_REUSED = "auth_refresh_reused"
    FINGERPRINT_CHANGED = "auth_fingerprint_changed"
    LOGGED_OUT = "auth_logged_out"
    SESSION_ENDED = "auth_session_ended"
    ALL_SESSIONS_ENDED = "auth_all_sessions_ended"
    ORGANISATION_SWITCHED = "auth_organisation_switched"
    CSRF_INVALID = "csrf_invalid_token"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    # organisations
    ORGANISATION_CREATED = "auth_organisation_created"
    ORGANISATION_CHANGED = "auth_organisation_changed"
    OWNERSHIP_TRANSFERRED = "auth_ownership_transferred"
    MEMBER_ADDED = "auth_member_added"
    MEMBER_ROLE_CHANGED = "auth_member_role_changed"
    MEMBER_REMOVED = "auth_member_removed"
    MEMBER_LEFT = "auth_member_left"
    INVITATION_CREATED = "auth_invitation_created"
    INVITATION_REVOKED = "auth_invitation_revoked"
    INVITATION_ACCEPTED = "auth_invitation_accepted"
    # machines
    API_KEY_CREATED = "auth_api_key_created"
    API_KEY_REVOKED = "auth_api_key_revoked"
    API_KEY_REFUSED = "auth_api_key_refused"
    BRIDGE_CREATED = "auth_bridge_created"
    BRIDGE_REVOKED = "auth_bridge_revoked"
    BRIDGE_ADDRESS_CHANGED = "auth_bridge_address_changed"
    BRIDGE_USED_TWICE = "auth_bridge_used_twice"
    BRIDGE_PAIRING_APPROVED = "auth_bridge_pairing_approved"
    BRIDGE_PAIRING_DENIED = "auth_bridge_pairing_denied"
    # the installation
    SIGNING_KEY_CREATED = "auth_signing_key_created"
    SIGNING_KEY_RETIRED = "auth_signing_key_retired"
    SECRETS_RENEWED = "auth_secrets_renewed"


#: What is a failure by its name, and the reason that is given where nobody knows a better one.
FAILURES: MappingProxyType[SecurityEvent, str] = MappingProxyType(
    {
        SecurityEvent.LOGIN_FAILED: "wrong_credentials",
        SecurityEvent.LOCKOUT_TRIGGERED: "too_many_failures",
        SecurityEvent.REAUTHENTICATION_FAILED: "wrong_proof",
        SecurityEvent.SECOND_FACTOR_FAILED: "wrong_code",
        SecurityEvent.PROVIDER_SIGN_IN_FAILED: "refused",
        SecurityEvent.OUTSIDE_TOKEN_REFUSED: "refused",
        SecurityEvent.REFRESH_REUSED: "used_before",
        SecurityEvent.CSRF_INVALID: "token",
        SecurityEvent.RATE_LIMIT_EXCEEDED: "too_many_requests",
        SecurityEvent.BRIDGE_USED_TWICE: "secret_copied",
    }
)
