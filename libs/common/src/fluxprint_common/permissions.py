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
    ORGANISATION_READ = "organisation:read"
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
_LOOK = frozenset(
    {
        _P.ORGANISATION_READ, _P.MEMBERS_READ, _P.FILES_READ, _P.JOBS_READ, _P.PRINTERS_READ, _P.CAMERAS_VIEW,
        _P.EVENTS_READ,
    }
)  # fmt: skip
_PRINT = _LOOK | {_P.FILES_WRITE, _P.JOBS_WRITE, _P.PRINTERS_OPERATE}
_MANAGE = _PRINT | {_P.PRINTERS_MANAGE, _P.MEMBERS_MANAGE, _P.BRIDGES_READ, _P.BRIDGES_MANAGE}

ROLE_PERMISSIONS: MappingProxyType[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OWNER: _MANAGE,
        Role.MANAGER: _MANAGE,
        Role.EDITOR: _PRINT,
        Role.VIEWER: _LOOK,
        # A client looks at what is theirs: the queue shows a client only its own jobs and files.
        Role.CLIENT: frozenset({_P.ORGANISATION_READ, _P.FILES_READ, _P.JOBS_READ}),
        Role.BRIDGE: frozenset({_P.BRIDGE_WORK}),
    }
)


def permissions_of(role: Role, scope: str | None) -> frozenset[Permission]:
    """The permissions of a role, narrowed by a space-separated scope (RFC 6749, 3.3); an empty one narrows nothing."""
    granted = ROLE_PERMISSIONS[role]
    return granted & frozenset(scope.split()) if scope else granted
