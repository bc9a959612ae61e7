"""What can be wrong with an organisation's members."""

from fluxprint_common.problems import Forbidden


class RoleNotBelowYours(Forbidden):
    """You may only give roles below your own"""

    code = "role_not_below_yours"
