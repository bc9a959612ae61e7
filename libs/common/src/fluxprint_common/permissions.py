"""Who may do what: the one table of roles and permissions.

A permission is `noun:verb`. A token's role gives permissions; its `scope`, where it has one, narrows them.
"""

from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    OWNER = "owner"
    MANAGER = "manager"
    EDITOR = "editor"
    VIEWER = "viewer"
    CLIENT = "client"
    BRIDGE = "bridge"  # not a person's: a bridge's token


class Permission(StrEnum):
    INSTALLATION_MANAGE = "installation:manage"  # an administrator's, whatever the role
    ACCOUNT_MANAGE = "account:manage"  # one's own account; no API key has it
    API_KEYS_MANAGE = "api_keys:manage"  # one's own keys; no API key has it
    ORGANISATION_READ = "organisation:read"
    ORGANISATION_MANAGE = "organisation:manage"
    SECURITY_READ = "security:read"
    MEMBERS_READ = "members:read"
    MEMBERS_MANAGE = "members:manage"
    BRIDGES_READ = "bridges:read"
    BRIDGES_MANAGE = "bridges:manage"
    FILES_READ = "files:read"
    FILES_WRITE = "files:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    PRINTERS_READ = "printers:read"
    PRINTERS_OPERATE = "printers:operate"
    PRINTERS_MANAGE = "printers:manage"
    CAMERAS_VIEW = "cameras:view"
    EVENTS_READ = "events:read"
    BRIDGE_WORK = "bridge:work"


_P = Permission
_SELF = frozenset({_P.ACCOUNT_MANAGE, _P.API_KEYS_MANAGE, _P.ORGANISATION_READ})
_LOOK = _SELF | frozenset(
    {_P.MEMBERS_READ, _P.FILES_READ, _P.JOBS_READ, _P.PRINTERS_READ, _P.CAMERAS_VIEW, _P.EVENTS_READ}
)
_PRINT = _LOOK | {_P.FILES_WRITE, _P.JOBS_WRITE, _P.PRINTERS_OPERATE}
_MANAGE = _PRINT | {_P.PRINTERS_MANAGE, _P.MEMBERS_MANAGE, _P.BRIDGES_READ, _P.BRIDGES_MANAGE}

ROLE_PERMISSIONS: MappingProxyType[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OWNER: _MANAGE | {_P.ORGANISATION_MANAGE, _P.SECURITY_READ},
        Role.MANAGER: _MANAGE,
        Role.EDITOR: _PRINT,
        Role.VIEWER: _LOOK,
        # A client looks at what is theirs: the queue shows a client only its own jobs and files.
        Role.CLIENT: _SELF | {_P.FILES_READ, _P.JOBS_READ},
        Role.BRIDGE: frozenset({_P.BRIDGE_WORK}),
    }
)


#: What only a person who signed in here does: a key that could make keys, or change its owner's password, is its owner.
#: One that could add a member could make itself a person.
PERSONAL = frozenset(
    {_P.INSTALLATION_MANAGE, _P.ACCOUNT_MANAGE, _P.API_KEYS_MANAGE, _P.ORGANISATION_MANAGE, _P.MEMBERS_MANAGE}
)
#: What no API key can have.
BEYOND_KEYS = PERSONAL | {_P.BRIDGE_WORK}


class Via(StrEnum):
    """How the holder of an access token came by it: the claim `via`."""

    SESSION = "session"  # signed in here
    API_KEY = "api_key"
    BRIDGE = "bridge"
    OUTSIDE = "outside"  # a trusted outside issuer said who it is


def permissions_of(
    role: Role, scope: str, *, via: Via = Via.SESSION, administrator: bool = False
) -> frozenset[Permission]:
    """What a token allows: its role's permissions, narrowed by its scope.

    Args:
        scope: space-separated permissions (RFC 6749, 3.3). Empty narrows nothing; to an API key it
            gives nothing.
    """
    granted = ROLE_PERMISSIONS[role]
    if administrator:
        granted |= {_P.INSTALLATION_MANAGE}
    if via in {Via.API_KEY, Via.OUTSIDE}:
        granted -= PERSONAL
    return granted & frozenset(scope.split()) if scope or via is Via.API_KEY else granted
