"""Decisions and policies as clients see them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fluxprint_camera.ids import AttemptId, CameraId, DecisionId, JobId
from fluxprint_camera.watching.kinds import Action, EndReason, Kind, Outcome, Verdict
from fluxprint_common.ids import PrinterId, UserId
from fluxprint_common.schemas import Input, Output, Timestamp

Score = Annotated[float, Field(ge=0, le=1)]
Look = Literal["off", "notify"]
HoldS = Annotated[int, Field(ge=0, le=3600, json_schema_extra={"format": "int32"})]


class Decision(Output):
    """Trouble that was seen at a camera, with everything that it was decided by."""

    id: DecisionId
    camera_id: CameraId
    printer_id: PrinterId
    attempt_id: AttemptId | None = Field(description="The print that was seen; null where nothing printed.")
    job_id: JobId | None
    kind: str = Field(
        max_length=20, examples=["failure"], json_schema_extra={"x-extensible-enum": [str(k) for k in Kind]}
    )
    action: str = Field(
        max_length=20,
        examples=["notify"],
        description="What was wanted.",
        json_schema_extra={"x-extensible-enum": [str(Action.NOTIFY), str(Action.PAUSE)]},
    )
    outcome: str | None = Field(
        max_length=20,
        examples=["notified"],
        description="What became of it; null until the queue service was told.",
        json_schema_extra={"x-extensible-enum": [str(o) for o in Outcome]},
    )
    value: float = Field(
        description="The measure that crossed its threshold: of `frozen` the share of the picture that changed, of"
        " `black` mean luma plus twice its spread, of `no_picture` seconds, of `failure` the score.",
        json_schema_extra={"minimum": 0, "maximum": 1e9},
    )
    threshold: float = Field(json_schema_extra={"minimum": 0, "maximum": 1e9})
    label: str | None = Field(max_length=100, description="What the detector calls it.", examples=["spaghetti"])
    scores: dict[str, Score] | None = Field(
        description="All that the detector said.", json_schema_extra={"maxProperties": 100}
    )
    model: str | None = Field(max_length=200, description="The detector, or the model that it loaded.")
    model_version: str | None = Field(max_length=200)
    has_picture: bool
    captured_at: Timestamp | None = Field(description="When the picture was taken, by the bridge's clock.")
    created_at: Timestamp
    ended_at: Timestamp | None = Field(description="Null while it lasts.")
    end_reason: str | None = Field(max_length=20, json_schema_extra={"x-extensible-enum": [str(r) for r in EndReason]})
    verdict: str | None = Field(
        max_length=20,
        description="What a person said of it.",
        json_schema_extra={"x-extensible-enum": [str(v) for v in Verdict]},
    )
    verdict_by: UserId | None
    verdict_at: Timestamp | None


class DecisionJudge(Input):
    """What a person says of a decision."""

    verdict: Verdict | None = Field(description="Null takes it back.")


class WatchPolicyPut(Input):
    """What is watched for, and what is done then."""

    frozen: Look = "notify"
    black: Look = "notify"
    no_picture: Look = "notify"
    failure: Literal["off", "notify", "pause"] = Field(
        "notify", description="`pause` pauses the print that was seen, once, in the name of whoever set this."
    )
    enter_score: Score = Field(0.8, description="A score from which on something fails ...")
    leave_score: Score = Field(0.5, description="... and below which it does not any more.")
    enter_after_s: HoldS = Field(30, description="How long scores must be that high.")
    leave_after_s: HoldS = Field(60, description="How long they must be that low.")

    @model_validator(mode="after")
    def _check_scores(self) -> Self:
        if self.leave_score > self.enter_score:
            raise ValueError("leave_score must not be above enter_score")
        return self


class WatchPolicy(Output):
    """What is watched for: the organisation's policy, or that of one printer."""

    printer_id: PrinterId | None = Field(description="Null in the organisation's, which counts for all the others.")
    frozen: str = Field(max_length=20, examples=["notify"])
    black: str = Field(max_length=20, examples=["notify"])
    no_picture: str = Field(max_length=20, examples=["notify"])
    failure: str = Field(max_length=20, examples=["notify"])
    enter_score: Score
    leave_score: Score
    enter_after_s: HoldS
    leave_after_s: HoldS
    updated_by: UserId | None = Field(description="Null where nobody decided: this is the default.")
    updated_at: Timestamp | None
