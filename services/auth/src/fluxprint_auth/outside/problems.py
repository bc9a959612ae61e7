"""What can be wrong with an outside issuer's token."""

from fluxprint_common.problems import Unauthenticated


class OutsideTokenRefused(Unauthenticated):
    """This token of another application is not accepted here"""

    code = "outside_token_refused"
    keeps_writes = True
