"""The roles that people have in an organisation, and who may give which."""

from fluxprint_common.permissions import Role

#: From the mightiest down.
MEMBER_ROLES = (Role.OWNER, Role.MANAGER, Role.EDITOR, Role.VIEWER, Role.CLIENT)


def may_give(giver: Role, role: Role) -> bool:
    """Whether somebody with the role `giver` may give `role` to another: only one below their own."""
    return MEMBER_ROLES.index(giver) < MEMBER_ROLES.index(role)
