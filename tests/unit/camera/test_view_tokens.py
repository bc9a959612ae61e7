"""View tokens open one camera for minutes, and nothing else."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fluxprint_camera.viewers.tokens import AUDIENCE, ViewTokens
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role, permissions_of
from fluxprint_common.principal import Principal
from fluxprint_common.tokens import SharedSecret, TokenError
from support.camera import VIEW_TOKEN_SECRET

ISSUER = "fluxprint"


def principal() -> Principal:
    return Principal(
        subject=new_id(),
        organisation_id=new_id(),
        role=Role.VIEWER,
        session_id=new_id(),
        permissions=permissions_of(Role.VIEWER, ""),
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
        issued_at=datetime.now(UTC),
    )


def view_tokens(secret: str = VIEW_TOKEN_SECRET) -> ViewTokens:
    return ViewTokens(secret, issuer=ISSUER, lifetime_s=300)


def forged(*, camera: str | None = None, age_s: int = 0, lifetime_s: int = 300, audience: str = AUDIENCE) -> str:
    """A token signed with the right secret, whatever it says."""
    now = int(datetime.now(UTC).timestamp()) - age_s
    claims = {
        "iss": ISSUER, "aud": audience, "sub": show("user", new_id()), "iat": now, "exp": now + lifetime_s,
        "jti": "1", "sid": show("session", new_id()), "org": show("org", new_id()),
        "camera": camera or show("camera", new_id()),
    }  # fmt: skip
    return SharedSecret(VIEW_TOKEN_SECRET, kid="view-1").sign(claims)


class TestViewToken:
    async def test_carries_camera_person_organisation_session_and_end(self) -> None:
        who, camera = principal(), new_id()
        tokens = view_tokens()
        token, expires_at = tokens.issue(who, camera)
        watcher = await tokens.read(token)
        assert (watcher.camera_id, watcher.person_id, watcher.organisation_id, watcher.session_id) == (
            camera, who.subject, who.organisation_id, who.session_id,
        )  # fmt: skip
        assert watcher.expires_at == expires_at
        assert 290 < watcher.expires_in_s <= 300

    async def test_opens_its_camera_only(self) -> None:
        camera: UUID = new_id()
        tokens = view_tokens()
        watcher = await tokens.read(tokens.issue(principal(), camera)[0])
        assert watcher.may_see(camera)
        assert not watcher.may_see(new_id())

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(forged(age_s=400), id="expired"),
            pytest.param(forged(lifetime_s=3600), id="lives too long"),
            pytest.param(forged(audience="fluxprint-api"), id="for another audience"),
            pytest.param(forged(camera="printer_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"), id="no camera's id"),
            pytest.param(
                view_tokens("another secret, another secret, ...").issue(principal(), new_id())[0], id="other secret"
            ),
            pytest.param("", id="empty"),
        ],
    )
    async def test_is_refused(self, token: str) -> None:
        with pytest.raises(TokenError):
            await view_tokens().read(token)
