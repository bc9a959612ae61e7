"""Every route as everybody: a route without a row here fails."""

from dataclasses import dataclass

import pytest
from fastapi.routing import iter_route_contexts

from fluxprint_auth.app import create_app
from support.auth import PASSWORD, Auth, Person, new_key_pem, running_auth, settings_of
from support.servers import Database

PUBLIC = None
MEMBERS = {"owner", "manager", "editor", "viewer", "client"}
COLLEAGUES = MEMBERS - {"client"}
MANAGERS = {"owner", "manager"}
ADMINISTRATORS: set[str] = set()  # no role is enough

NOBODYS = f"bridge_{'0' * 32}"
NOBODY = f"user_{'0' * 32}"
#: Who may, ends what the rows behind it are tried with: test_members.py tries it as owner and as another.
ONLY_AS_A_STRANGER = {"/api/v1/organisations/current/leave"}


@dataclass(frozen=True)
class Row:
    """A route, who may use it, and what those get who may."""

    method: str
    path: str
    allowed: set[str] | None
    status: int
    body: dict[str, str] | None = None


ROWS = [
    Row("POST", "/api/v1/auth/register", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/login", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/verify-email", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/verify-email/resend", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/password-reset", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/password-reset/confirm", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/email/confirm", PUBLIC, 422, {}),
    Row("POST", "/api/v1/auth/email", MEMBERS, 422, {}),
    Row("POST", "/api/v1/auth/password", MEMBERS, 422, {}),
    Row("PATCH", "/api/v1/auth/me", MEMBERS, 422, {}),
    Row("POST", "/api/v1/auth/refresh", PUBLIC, 401, {}),
    Row("POST", "/api/v1/auth/bridge-token", PUBLIC, 422, {}),
    Row("GET", "/api/v1/auth/jwks", PUBLIC, 200),
    Row("GET", "/api/v1/admin/signing-keys", ADMINISTRATORS, 200),
    Row("POST", "/api/v1/admin/signing-keys/rotate", ADMINISTRATORS, 201, {}),
    Row("GET", "/api/v1/auth/me", MEMBERS, 200),
    Row("GET", "/api/v1/organisations", MEMBERS, 200),
    Row("POST", "/api/v1/organisations", MEMBERS, 422, {}),
    Row("GET", "/api/v1/organisations/current", MEMBERS, 200),
    Row("PATCH", "/api/v1/organisations/current", {"owner"}, 422, {}),
    Row("PATCH", "/api/v1/organisations/current/members/{user_id}", MANAGERS, 404, {"role": "viewer"}),
    Row("DELETE", "/api/v1/organisations/current/members/{user_id}", MANAGERS, 404),
    Row("POST", "/api/v1/organisations/current/leave", MEMBERS, 204),
    Row("POST", "/api/v1/organisations/current/transfer", {"owner"}, 404, {"user_id": NOBODY}),
    Row("GET", "/api/v1/organisations/current/invitations", MANAGERS, 200),
    Row("POST", "/api/v1/organisations/current/invitations", MANAGERS, 422, {}),
    Row("POST", "/api/v1/organisations/current/invitations/{invitation_id}/resend", MANAGERS, 404),
    Row("DELETE", "/api/v1/organisations/current/invitations/{invitation_id}", MANAGERS, 404),
    Row("POST", "/api/v1/invitations/preview", PUBLIC, 404, {"token": "x"}),
    Row("POST", "/api/v1/invitations/register", PUBLIC, 422, {}),
    Row("POST", "/api/v1/invitations/join", PUBLIC, 404, {"token": "x"}),
    Row("POST", "/api/v1/invitations/accept", MEMBERS, 404, {"token": "x"}),
    Row("GET", "/api/v1/security-events", {"owner"}, 200),
    Row("GET", "/api/v1/auth/security-events", MEMBERS, 200),
    Row("GET", "/api/v1/admin/security-events", ADMINISTRATORS, 200),
    Row("GET", "/api/v1/admin/users", ADMINISTRATORS, 200),
    Row("GET", "/api/v1/admin/users/{user_id}", ADMINISTRATORS, 404),
    Row("POST", "/api/v1/admin/users/{user_id}/disable", ADMINISTRATORS, 404),
    Row("POST", "/api/v1/admin/users/{user_id}/enable", ADMINISTRATORS, 404),
    Row("POST", "/api/v1/admin/users/{user_id}/unlock", ADMINISTRATORS, 404),
    Row("POST", "/api/v1/admin/users/{user_id}/reset-second-factor", ADMINISTRATORS, 404),
    Row("POST", "/api/v1/admin/users/{user_id}/end-sessions", ADMINISTRATORS, 404),
    Row("GET", "/api/v1/admin/db-status", ADMINISTRATORS, 200),
    Row("GET", "/api/v1/organisations/current/members", COLLEAGUES, 200),
    Row(
        "POST", "/api/v1/organisations/current/members", MANAGERS, 422,
        {"email": "x", "name": "x", "role": "client", "password": PASSWORD},
    ),
    Row("GET", "/api/v1/api-keys", MEMBERS, 200),
    Row("POST", "/api/v1/api-keys", MEMBERS, 422, {"name": ""}),
    Row("GET", "/api/v1/api-keys/{api_key_id}", MEMBERS, 404),
    Row("DELETE", "/api/v1/api-keys/{api_key_id}", MEMBERS, 404),
    Row("GET", "/api/v1/bridges", MANAGERS, 200),
    Row("POST", "/api/v1/bridges", MANAGERS, 422, {"name": ""}),
    Row("GET", "/api/v1/bridges/{bridge_id}", MANAGERS, 404),
    Row("DELETE", "/api/v1/bridges/{bridge_id}", MANAGERS, 404),
    Row("POST", "/api/v1/auth/bridge-pairings", PUBLIC, 201),
    Row("POST", "/api/v1/auth/bridge-pairings/token", PUBLIC, 422, {}),
    Row("GET", "/api/v1/bridges/pairings/{user_code}", MANAGERS, 404),
    Row("POST", "/api/v1/bridges/pairings/{user_code}/approve", MANAGERS, 404, {"name": "x"}),
    Row("POST", "/api/v1/bridges/pairings/{user_code}/deny", MANAGERS, 404),
    Row("POST", "/api/v1/auth/logout", MEMBERS, 204),  # the last one: it ends the session
]  # fmt: skip


def routes() -> set[tuple[str, str]]:
    app = create_app(settings_of("postgresql+asyncpg://x:x@127.0.0.1:1/x"))
    return {
        (method, str(route.path))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if str(route.path).startswith("/api/v1/") and not str(route.path).endswith("/health")
    }


def without_token(row: Row) -> int:
    """What somebody gets who is not signed in."""
    return row.status if row.allowed is PUBLIC else 401


async def ask(auth: Auth, row: Row, token: str | None) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    ids = {
        "user_id": NOBODY,
        "invitation_id": f"invitation_{'0' * 32}",
        "bridge_id": NOBODYS,
        "api_key_id": f"apikey_{'0' * 32}",
        "user_code": "BCDF-GHJK",
    }
    path = row.path.removeprefix("/api/v1").format(**ids)
    answer = await auth.http.request(row.method, path, json=row.body, headers=headers)
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code


class TestEveryRoute:
    def test_has_a_row(self) -> None:
        assert routes() == {(row.method, row.path) for row in ROWS}

    @pytest.mark.parametrize("token", [None, "", "nonsense", "a.b.c"])
    async def test_as_a_stranger(self, auth: Auth, token: str | None) -> None:
        for row in ROWS:
            assert await ask(auth, row, token) == without_token(row), row

    async def test_with_a_token_that_has_ended(self, database: Database) -> None:
        async with running_auth(database) as auth:
            ada = await auth.register()
            verifier = auth.app.state.access_tokens
            began = verifier._now()
            verifier._now = lambda: began + 906  # 900 s and the leeway between two clocks
            for row in ROWS:
                assert await ask(auth, row, ada.tokens["access_token"]) == (
                    row.status if row.allowed is PUBLIC else 401
                ), row

    async def test_with_a_token_of_another_key(self, database: Database, auth: Auth) -> None:
        async with running_auth(database, signing_key=new_key_pem()) as other:
            eve = await other.register()
        for row in ROWS:
            assert await ask(auth, row, eve.tokens["access_token"]) == without_token(row), row

    @pytest.mark.parametrize("role", sorted(MEMBERS))
    async def test_as_each_role(self, auth: Auth, role: str) -> None:
        person = await auth.register()
        if role != "owner":
            person = await auth.add_member(person, role)
        await self.try_all(auth, role, person.tokens["access_token"])

    async def test_as_a_bridge(self, auth: Auth) -> None:
        ada: Person = await auth.register()
        made = await auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)
        access = await auth.post("/auth/bridge-token", {"bridge_token": made.json()["bridge_token"]})
        await self.try_all(auth, "bridge", access.json()["access_token"])

    async def try_all(self, auth: Auth, role: str, token: str) -> None:
        for row in ROWS:
            if row.path in ONLY_AS_A_STRANGER and role in MEMBERS:
                continue
            expected = row.status if row.allowed is PUBLIC or role in row.allowed else 403
            assert await ask(auth, row, token) == expected, row
