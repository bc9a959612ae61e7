"""Everything that has a door: the three real services behind real sockets, and people and machines who try it."""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from jose import jwt
from pydantic import SecretStr

import fluxprint_auth.app
import fluxprint_camera.app
import fluxprint_queue.app
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Permission, Role
from fluxprint_common.settings import Environment
from fluxprint_common.tokens import SigningKey
from fluxprint_queue.settings import QueueSettings
from support import auth
from support.auth import Auth, Person
from support.queue import GCODE
from support.servers import Database
from support.serving import serving
from support.tokens import bearer

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One operation of the API's document."""

    id: str
    service: str
    method: str
    path: str
    schemes: Mapping[str, list[str]]
    prefixes: Mapping[str, str]

    @property
    def is_public(self) -> bool:
        return not self.schemes

    @property
    def permissions(self) -> frozenset[Permission]:
        return frozenset(Permission(scope) for scope in self.schemes.get("Bearer", []))

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)


def operations(documents: Mapping[str, dict[str, Any]]) -> dict[str, Operation]:
    """All operations by their ids."""
    return {
        operation["operationId"]: Operation(
            operation["operationId"],
            service,
            method.upper(),
            path,
            {name: scopes for entry in operation["security"] for name, scopes in entry.items()},
            dict(filter(None, map(_prefix, operation.get("parameters", [])))),
        )
        for service, document in documents.items()
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


@dataclass
class House:
    """The running services and who uses them.

    Attributes:
        things: what the first organisation has, by the name of a path parameter.
        people: one of each role in the first organisation.
    """

    urls: dict[str, str]
    auth: Auth
    http: httpx.AsyncClient
    database: Database
    people: dict[Role, Person] = field(default_factory=dict)
    neighbour: Person = field(default_factory=lambda: Person("", {}))
    administrator: Person = field(default_factory=lambda: Person("", {}))
    things: dict[str, str] = field(default_factory=dict)
    bridge_access: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> Person:
        return self.people[Role.OWNER]

    async def status(
        self, operation: Operation, headers: Mapping[str, str], *, ids: Mapping[str, str], body: object = None
    ) -> int:
        """How the operation is answered. An endless answer is not read."""
        path = re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], operation.path)
        request = self.http.build_request(
            operation.method, self.urls[operation.service] + path, headers=headers, **_content(operation, body)
        )
        answer = await self.http.send(request, stream=True)
        await answer.aclose()
        return answer.status_code

    async def key(self, scopes: Collection[Permission]) -> dict[str, str]:
        """The header with an API key of the first organisation's owner."""
        name = " ".join(sorted(scopes))
        if name not in self.keys:
            body = {"name": f"key {len(self.keys)}", "scopes": sorted(scopes)}
            self.keys[name] = (await self.ask("POST", "/api-keys", self.owner, json=body))["secret"]
        return {"X-API-Key": self.keys[name]}

    def expired(self) -> dict[str, str]:
        """The header with a token of the owner that was good a quarter of an hour ago."""
        claims = self._claims()
        before = {"iat": claims["iat"] - 1800, "exp": claims["iat"] - 900}
        return bearer(SigningKey(auth.SIGNING_KEY).sign({**claims, **before}))

    def forged(self) -> dict[str, str]:
        """The header with a token that says what the owner's says, signed with a key that nobody published."""
        return bearer(SigningKey(auth.new_key_pem()).sign(self._claims()))

    def _claims(self) -> Json:
        claims: Json = jwt.get_unverified_claims(self.owner.tokens["access_token"])
        return claims

    async def another(self, role: Role) -> Person:
        """Somebody else with that role."""
        if role is Role.OWNER:
            return await self.auth.register()
        return await self.auth.add_member(self.owner, role)

    async def ask(self, method: str, path: str, who: Person, **more: Any) -> Json:
        """A request to the auth service that must succeed; its body."""
        answer = await self.auth.http.request(method, path, headers=who.headers, **more)
        assert answer.is_success, answer.text
        body: Json = answer.json()
        return body

    async def queue(self, method: str, path: str, token: str, **more: Any) -> Json:
        answer = await self.http.request(method, f"{self.urls['queue']}/api/v1{path}", headers=bearer(token), **more)
        assert answer.is_success, answer.text
        found: Json = answer.json()
        return found

    async def execute(self, statement: str, *arguments: object) -> None:
        """As the owner of the database."""
        await self.auth.owner.execute(statement, *arguments)


def _content(operation: Operation, body: object) -> dict[str, Any]:
    if operation.method in ("GET", "DELETE"):
        return {}
    if operation.id == "upload_file":
        return {"files": {"file": ("part.gcode", GCODE)}}
    return {"json": {} if body is None else body}


@asynccontextmanager
async def running_house(database: Database, redis_url: str, folder: Path) -> AsyncIterator[House]:
    """The services, with people and things in them."""
    redis = SecretStr(redis_url)
    async with AsyncExitStack() as stack:
        settings = auth.settings_of(
            database.url_for("auth"), redis_url=redis, mail_dir=folder / "mail", api_keys_per_person=100
        )
        app = fluxprint_auth.app.create_app(settings)
        auth_url = await stack.enter_async_context(serving(app))
        shared: dict[str, Any] = {
            "environment": Environment.TEST,
            "redis_url": redis,
            "jwks_url": f"{auth_url}/api/v1/auth/jwks",
            "rate_limits_enabled": False,
        }
        queue = QueueSettings(
            database_url=SecretStr(database.url_for("queue")), auth_url=auth_url, storage_dir=folder, **shared
        )
        queue_url = await stack.enter_async_context(serving(fluxprint_queue.app.create_app(queue)))
        camera = CameraSettings(
            database_url=SecretStr(database.url_for("camera")), queue_url=queue_url,
            view_token_secret=SecretStr("-" * 32), **shared,
        )  # fmt: skip
        camera_url = await stack.enter_async_context(serving(fluxprint_camera.app.create_app(camera)))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{auth_url}/api/v1", timeout=30))
        urls = {"auth": auth_url, "queue": queue_url, "camera": camera_url}
        owner = await stack.enter_async_context(database.as_owner())
        house = House(urls, Auth(app, client, database, owner), http, database)
        await _move_in(house)
        yield house


async def _move_in(house: House) -> None:
    service = house.auth
    owner = house.people[Role.OWNER] = await service.register()
    for role in (Role.MANAGER, Role.EDITOR, Role.VIEWER, Role.CLIENT):
        house.people[role] = await service.add_member(owner, role)
    house.neighbour = await service.register()
    administrator = await service.register()
    await house.execute('UPDATE auth."user" SET is_administrator = true WHERE email = $1', administrator.email)
    house.administrator = Person(administrator.email, await service.log_in(administrator.email))
    answer = await service.post("/bridges", {"name": "Workshop"}, headers=owner.headers)
    assert answer.status_code == 201, answer.text
    bridge = answer.json()
    answer = await service.post("/auth/bridge-token", {"bridge_token": bridge["bridge_token"]})
    house.bridge_access = answer.json()["access_token"]
    token = owner.tokens["access_token"]
    bench = {"name": "Bench", "bridge_id": bridge["bridge"]["id"], "bed_is_clear": True}
    printer = await house.queue("POST", "/printers", token, json=bench)
    file = await house.queue("POST", "/files", token, files={"file": ("part.gcode", GCODE)})
    job = await house.queue("POST", "/jobs", token, json={"file_id": file["id"]})
    claim = {"journal_id": str(uuid4())}
    assignment = await house.queue("POST", f"/bridge/printers/{printer['id']}/claim", house.bridge_access, json=claim)
    invitation = {"email": "guest@example.org", "role": "viewer"}
    key = {"name": "Slicer", "scopes": ["files:read"]}
    camera_id = new_id()
    ids = (printer["id"], bridge["bridge"]["id"], owner.organisation["id"])
    await house.execute(
        "INSERT INTO camera.camera (id, printer_id, bridge_id, organisation_id, name)"
        " VALUES ($1, $2, $3, $4, 'Camera')",
        camera_id,
        *(UUID(name.partition("_")[2]) for name in ids),
    )
    house.things |= {
        "organisation_id": owner.organisation["id"],
        "user_id": (await house.ask("GET", "/auth/me", house.people[Role.VIEWER]))["user"]["id"],
        "session_id": (await house.ask("GET", "/auth/token-info", owner))["session"]["id"],
        "invitation_id": (await house.ask("POST", "/organisations/current/invitations", owner, json=invitation))["id"],
        "api_key_id": (await house.ask("POST", "/api-keys", owner, json=key))["api_key"]["id"],
        "bridge_id": bridge["bridge"]["id"],
        "printer_id": printer["id"],
        "camera_id": show("camera", camera_id),
        "file_id": file["id"],
        "job_id": job["id"],
        "attempt_id": assignment["attempt"]["id"],
        "sha256": file["sha256"],
    }


def _prefix(parameter: Json) -> tuple[str, str] | None:
    """A path parameter that is an id, and what such ids begin with."""
    found = re.match(r"\^(\w+)_\[0-9a-f\]", parameter["schema"].get("pattern", ""))
    return (parameter["name"], found[1]) if found and parameter["in"] == "path" else None


def nobodys(operation: Operation) -> dict[str, str]:
    """Well-formed ids that nothing has."""
    fixed = {"width_px": "16", "height_px": "16", "sha256": "0" * 64, "user_code": "BCDF-GHJK", "name": "nobody"}
    return {name: fixed.get(name) or show(operation.prefixes[name], new_id()) for name in operation.parameters}
