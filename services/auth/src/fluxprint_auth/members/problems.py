"""What can be wrong with an organisation's members."""

from fluxprint_common.problems import Conflict, Forbidden


class InviteInstead(Forbidden):
    """Addresses must be verified here, so nobody makes an account for another; invite them"""

    code = "invite_instead"


class RoleNotBelowYours(Forbidden):
    """You may only give and take roles below your own"""

    code = "role_not_below_yours"


class LastOwner(Conflict):
    """An organisation keeps at least one owner who can sign in; make somebody else an owner first"""

    code = "last_owner"


class AlreadyMember(Conflict):
    """This person is a member already"""

    code = "already_member"
