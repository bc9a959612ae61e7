"""Why a camera gives no pictures."""

from enum import StrEnum


class Reason(StrEnum):
    """One word each, as the camera service shows it; docs/camera-uplink.md says what to do about them."""

    FROZEN = "frozen"  # it answered, and then no whole picture came in time
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_A_CAMERA = "not_a_camera"
    TRUNCATED = "truncated"
    CLOSED = "closed"
    TOO_LARGE = "too_large"


class SourceFailed(Exception):
    """The camera gives no pictures.

    Args:
        detail: the same for a person. It goes to the cloud and into the log: no address, no password.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
