"""What can be wrong with a bridge."""

from fluxprint_common.problems import Conflict, Unauthenticated


class BridgeNameTaken(Conflict):
    """There is a bridge of that name already"""

    code = "bridge_name_taken"


class BridgeTokenInvalid(Unauthenticated):
    """The bridge token is not valid or was revoked; make a new bridge and give its token to the bridge's settings"""

    code = "bridge_token_invalid"
