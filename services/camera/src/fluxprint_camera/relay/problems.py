"""What can stand between a viewer and a picture."""

from fluxprint_common.problems import RateLimited, Unavailable

RETRY_AFTER_S = 5


class CameraOffline(Unavailable):
    """The camera sends no pictures; check that its bridge is running, it is shown again as soon as it does"""

    code = "camera_offline"

    def __init__(self, reason: str) -> None:
        super().__init__(f"There is no current picture: {reason}.", retry_after_s=RETRY_AFTER_S)


class TooManyViewers(RateLimited):
    """As many viewers as may watch are watching"""

    code = "too_many_viewers"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"Retry-After": str(RETRY_AFTER_S)})
