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
    """Whether somebody with the role `giver` may bring another in with `role`: only one below their own."""
    return _RANKING.index(giver) < _RANKING.index(role)


def may_decide_on(decider: MemberRole, role: MemberRole) -> bool:
    """Whether somebody may take `role` from a member, or give it to one: below their own, and owners also theirs."""
    return decider is MemberRole.OWNER or may_give(decider, role)
