"""One person leaves room at a camera for the others, by whichever token they come."""

from pathlib import Path
from typing import Any

import httpx

from fluxprint_common.ids import new_id
from fluxprint_local.postgres import Cluster
from support.camera_service import Organisation, running
from support.tokens import Issuer, bearer
from support.uplink import stream


class TestPerson:
    async def test_watches_no_more_than_may_with_access_and_view_tokens_together(
        self, migrated_cluster: Cluster, issuer: Issuer, redis_url: str, tmp_path: Path
    ) -> None:
        settings = {"CAMERA_MAX_VIEWERS_PER_PERSON": "2", "CAMERA_IDLE_INTERVAL_S": "30"}
        async with running(migrated_cluster, tmp_path, issuer, redis_url, settings) as service:
            organisation = Organisation(service, issuer)
            mine, theirs = (bearer(issuer.user_token(organisation=organisation.id, user=new_id())) for _ in range(2))
            async with organisation.camera() as bridge, httpx.AsyncClient(base_url=service.url, timeout=10) as http:
                path = f"/api/v1/cameras/{bridge.camera_id}/stream"
                made = await http.post(f"/api/v1/cameras/{bridge.camera_id}/view-tokens", headers=mine)
                by_view_token: dict[str, Any] = {"params": {"token": made.json()["token"]}}
                async with stream(http, path, headers=mine), stream(http, path, **by_view_token):
                    for more in ({"headers": mine}, by_view_token):
                        refused = await http.get(path, **more)
                        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_viewers")
                    async with stream(http, path, headers=theirs):
                        pass
