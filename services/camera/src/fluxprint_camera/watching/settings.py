"""Settings of watching: how often pictures are looked at, and when one is trouble."""

from typing import Self

from pydantic import BaseModel, Field, JsonValue, model_validator

from fluxprint_camera.watching.hysteresis import Band


class WatchSettings(BaseModel):
    """Thresholds come in pairs: trouble begins past the one and is over past the other."""

    watch_enabled: bool = True
    watch_interval_s: float = Field(5, ge=0.05, le=300, description="One picture so often of a printer that prints")
    watch_idle_interval_s: float = Field(60, ge=0.05, le=3600, description="Of the others, where one comes anyway")
    watch_poll_s: float = Field(5, ge=0.05, le=60, description="How often it is asked what is to be watched")
    watch_frozen_below: float = Field(0.004, ge=0, le=1, description="Share of the picture that changes")
    watch_frozen_clear_above: float = Field(0.01, ge=0, le=1)
    watch_frozen_after_s: float = Field(300, ge=0, le=86400)
    watch_frozen_idle_after_s: float = Field(1800, ge=0, le=86400, description="The very same bytes, nothing printing")
    watch_black_below: float = Field(24, ge=0, le=400, description="Mean luma plus twice its spread, of 255")
    watch_black_clear_above: float = Field(36, ge=0, le=400)
    watch_black_after_s: float = Field(60, ge=0, le=86400)
    watch_missing_after_s: float = Field(60, ge=0.1, le=86400)
    watch_clear_after_s: float = Field(10, ge=0, le=3600, description="How long it must be well to be over")
    watch_max_per_hour: int = Field(20, ge=1, le=1000, description="Decisions of one camera")
    watch_pause_within_s: float = Field(120, ge=1, le=3600, description="A pause that cannot be ordered by then is not")
    watch_keep_days: int = Field(90, ge=1, le=3650, description="Decisions and their pictures")
    watch_pictures_bytes: int = Field(
        1024**3, ge=1024**2, description="Pictures of one organisation's decisions; the oldest go first"
    )
    detector: str = Field("", max_length=100, description="An entry point of the group fluxprint.detectors")
    detector_options: dict[str, JsonValue] = Field(default_factory=dict, description="What the detector is made with")
    detector_interval_s: float = Field(10, ge=0.05, le=600, description="One picture of a print so often")
    detector_start_s: float = Field(60, ge=1, le=600)
    detector_timeout_s: float = Field(10, ge=0.1, le=300, description="Then it is ended, and started again")
    detector_memory_bytes: int = Field(4 * 1024**3, ge=256 * 1024**2, description="Of its process")

    @model_validator(mode="after")
    def _check_thresholds(self) -> Self:
        if self.watch_frozen_clear_above < self.watch_frozen_below:
            raise ValueError("CAMERA_WATCH_FROZEN_CLEAR_ABOVE: must not be below CAMERA_WATCH_FROZEN_BELOW")
        if self.watch_black_clear_above < self.watch_black_below:
            raise ValueError("CAMERA_WATCH_BLACK_CLEAR_ABOVE: must not be below CAMERA_WATCH_BLACK_BELOW")
        heard_s = self.watch_interval_s + self.watch_poll_s
        if self.watch_missing_after_s < 3 * heard_s:  # as long as pictures come they are noted once in that time
            raise ValueError(f"CAMERA_WATCH_MISSING_AFTER_S: at least {3 * heard_s:g}, for they are noted that slowly")
        return self

    @property
    def frozen_band(self) -> Band:
        return Band(
            self.watch_frozen_below,
            self.watch_frozen_clear_above,
            enter_after_s=self.watch_frozen_after_s,
            leave_after_s=0,  # whatever moves is no standstill
            low_is_bad=True,
        )

    @property
    def black_band(self) -> Band:
        return Band(
            self.watch_black_below,
            self.watch_black_clear_above,
            enter_after_s=self.watch_black_after_s,
            leave_after_s=self.watch_clear_after_s,
            low_is_bad=True,
        )
