"""View tokens open some cameras for minutes, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fluxprint_camera.viewers.tokens import AUDIENCE, MAX_CAMERAS, ViewTokens
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role, Via, permissions_of
from fluxprint_common.principal import Principal
from fluxprint_common.standing import Ground
from fluxprint_common.tokens import MAX_TOKEN_CHARS, SharedSecret, TokenError
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
    return ViewTokens(secret, issuer=ISSUER, lifetime_s=300, renewable_s=3600)


def forged(
    *, camera: str | None = None, age_s: int = 0, lifetime_s: int = 300, until_s: int = 3600, audience: str = AUDIENCE
) -> str:
    """A token signed with the right secret, whatever it says."""
    now = int(datetime.now(UTC).timestamp()) - age_s
    claims = {
        "iss": ISSUER, "aud": audience, "sub": show("user", new_id()), "iat": now, "exp": now + lifetime_s,
        "jti": "1", "sid": show("session", new_id()), "org": show("org", new_id()),
        "cameras": [camera or show("camera", new_id())], "via": "session", "until": now + until_s, "token_iat": now,
    }  # fmt: skip
    return SharedSecret(VIEW_TOKEN_SECRET, kid="view-1").sign(claims)


class TestViewToken:
    async def test_carries_camera_person_organisation_session_and_end(self) -> None:
        who, camera = principal(), new_id()
        tokens = view_tokens()
        issued = tokens.issue(who, {camera})
        watcher = await tokens.read(issued.token)
        assert (watcher.cameras, watcher.person_id, watcher.organisation_id, watcher.session_id) == (
            frozenset({camera}), who.subject, who.organisation_id, who.session_id,
        )  # fmt: skip
        assert watcher.expires_at == issued.renewable_until
        assert 290 < (issued.expires_at - datetime.now(UTC)).total_seconds() <= 300
        assert watcher.ground == Ground(who.subject, who.organisation_id, session_id=who.session_id)

    async def test_opens_its_cameras_only(self) -> None:
        cameras = {new_id() for _ in range(MAX_CAMERAS)}
        tokens = view_tokens()
        issued = tokens.issue(principal(), cameras)
        assert len(issued.token) < MAX_TOKEN_CHARS
        watcher = await tokens.read(issued.token)
        assert all(map(watcher.may_see, cameras))
        assert not watcher.may_see(new_id())

    async def test_of_an_api_key_stands_on_that(self) -> None:
        who = replace(principal(), via=Via.API_KEY)
        watcher = await view_tokens().read(view_tokens().issue(who, {new_id()}).token)
        assert watcher.ground == Ground(who.subject, who.organisation_id, api_key_id=who.session_id)
        assert watcher.person_id == who.credential_id

    async def test_of_an_outside_person_is_the_last_of_its_line(self) -> None:
        issued = view_tokens().issue(replace(principal(), via=Via.OUTSIDE), {new_id()})
        assert issued.renewable_until == issued.expires_at

    async def test_that_is_renewed_opens_the_same_for_longer_and_never_beyond_the_end_of_its_line(self) -> None:
        tokens = view_tokens()
        first = forged(age_s=200)
        watcher, second = await tokens.renew(first)
        assert await tokens.read(second.token) == watcher == await tokens.read(first)
        assert (second.expires_at - datetime.now(UTC)).total_seconds() > 290
        _watcher, last = await tokens.renew(forged(until_s=60))
        assert last.expires_at == last.renewable_until
        with pytest.raises(TokenError):
            await tokens.renew(forged(until_s=-1))

    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(forged(age_s=400), id="expired"),
            pytest.param(forged(lifetime_s=3600), id="lives too long"),
            pytest.param(forged(audience="fluxprint-api"), id="for another audience"),
            pytest.param(forged(camera="printer_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"), id="no camera's id"),
            pytest.param(
                view_tokens("another secret, another secret, ...").issue(principal(), {new_id()}).token,
                id="other secret",
            ),
            pytest.param("", id="empty"),
        ],
    )
    async def test_is_refused(self, token: str) -> None:
        with pytest.raises(TokenError):
            await view_tokens().read(token)
