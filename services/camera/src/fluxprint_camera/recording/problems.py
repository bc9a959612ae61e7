"""What can go wrong with recordings."""

from enum import StrEnum

from fluxprint_common.problems import Conflict, Unavailable


class Trouble(StrEnum):
    """Why something of a recording is missing."""

    DISK_FULL = "disk_full"
    DISK_FAILED = "disk_failed"
    RENDER_FAILED = "render_failed"
    RENDER_TIMEOUT = "render_timeout"
    VIDEO_CUT = "video_cut"


class StoreFailed(Exception):
    """The disk did not take or give what it should have."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble


class TimelapseUnfinished(Conflict):
    """The timelapse is not finished; wait until it is recorded and rendered"""

    code = "timelapse_unfinished"


class TimelapseNotFailed(Conflict):
    """Only a timelapse that could not be rendered is rendered again"""

    code = "timelapse_not_failed"


class TimelapseWithoutVideo(Conflict):
    """There is no video: no picture came while it was recorded, or it could not be rendered"""

    code = "timelapse_without_video"


class FilesAway(Unavailable):
    """The disk with the recordings does not answer; try again"""

    code = "files_away"
