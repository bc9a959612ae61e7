"""Why a signing key is not rotated."""

from fluxprint_common.problems import Conflict


class SigningKeySupplied(Conflict):
    """The signing key is supplied by AUTH_SIGNING_KEY or AUTH_SIGNING_KEY_FILE; rotate it there"""

    code = "signing_key_supplied"


class RotationUnderway(Conflict):
    """A new signing key is published already and will sign soon; wait for it, or withdraw all others at once"""

    code = "signing_key_rotation_underway"
