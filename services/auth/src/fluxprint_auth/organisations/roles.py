"""The roles that people have in an organisation, and who may give which."""

from enum import StrEnum

from fluxprint_common.permissions import Role


class MemberRole(StrEnum):
    """From the mightiest down."""

    OWNER = Role.OWNER.value
    MANAGER = Role.MANAGER.value
    EDITOR = Role.EDITOR.value
    VIEWER = Role.VIEWER.value
    CLIENT = Role.CLIENT.value


_RANKING = tuple(MemberRole)


def may_give(giver: MemberRole, role: MemberRole) -> bool:
    """Whether somebody with the role `giver` may give `role` to another: only one below their own."""
    return _RANKING.index(giver) < _RANKING.index(role)
