"""What the bridge makes of the queue's answers: a decision, or something that passes."""

import httpx
import pytest

from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.cloud.problems import checked
from fluxprint_common.problems import Conflict, DatabaseUnavailable, RateLimited, ServiceError, render


class FenceStale(Conflict):
    """Another process took over"""

    code = "fence_stale"


def answered(error: ServiceError) -> httpx.Response:
    """As the services themselves answer it."""
    rendered = render(error)
    request = httpx.Request("POST", "https://print.example.org/api/v1/bridge/attempts/attempt_1/reports")
    return httpx.Response(rendered.status_code, headers=rendered.headers, content=bytes(rendered.body), request=request)


class TestAnswer:
    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(RateLimited("At most 3000 in 60 s.", headers={"Retry-After": "17"}), id="too many"),
            pytest.param(DatabaseUnavailable(), id="no database"),
        ],
    )
    def test_what_passes_is_no_refusal(self, error: ServiceError) -> None:
        with pytest.raises(CloudUnavailable):
            checked(answered(error))

    def test_a_decision_is_one(self) -> None:
        with pytest.raises(CloudRefused) as refused:
            checked(answered(FenceStale()))
        assert refused.value.code == "fence_stale"
