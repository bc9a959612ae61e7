"""Every operation of every service, tried by everybody: strangers, the ended, other organisations, each role, keys."""

from collections.abc import Mapping

import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission, Role
from integration.access.matrix import ROWS, Row, filled
from support.access import House, Operation, nobodys, operations
from support.auth import Person
from support.queue import eventually
from support.tokens import bearer
from tools.apps import documents

OPERATIONS = operations(documents())
PROTECTED = [operation for operation in OPERATIONS.values() if not operation.is_public]
OF_PEOPLE = [operation for operation in PROTECTED if Permission.BRIDGE_WORK not in operation.permissions]
NAMING = [o for o in OF_PEOPLE if o.id in ROWS and (o.parameters or ROWS[o.id].names_things())]
SHOWING = [o for o in NAMING if o.method == "GET"]
every_operation = pytest.mark.parametrize("operation", PROTECTED, ids=lambda operation: operation.id)
#: Signed in, and let in: whatever then is wrong is wrong with the thing.
SHUT = {401, 403}


def row(operation: Operation) -> Row:
    return ROWS[operation.id]


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert set(ROWS) == {operation.id for operation in PROTECTED}


async def tried(house: House, operation: Operation, headers: Mapping[str, str]) -> int:
    """The answer where the things that are named exist nowhere: the door opened, and nothing happened."""
    ids = nobodys(operation)
    body = filled(row(operation).body, {**house.things, **nobodys_of(house)})
    return await house.status(operation, {**headers, **row(operation).headers}, ids=ids, body=body)


def nobodys_of(house: House) -> dict[str, str]:
    prefixes = {name: value.partition("_")[0] for name, value in house.things.items() if "_" in value}
    return {name: show(prefix, new_id()) for name, prefix in prefixes.items()}


@pytest.fixture(scope="module")
async def ended(house: House) -> Person:
    person = Person(house.owner.email, await house.auth.log_in(house.owner.email))
    assert (await house.auth.post("/auth/logout", headers=person.headers)).status_code == 204

    async def is_refused_everywhere() -> bool:
        answers = [
            await tried(house, OPERATIONS[name], person.headers) for name in ("get_me", "list_jobs", "list_cameras")
        ]
        return answers == [401, 401, 401]

    await eventually(is_refused_everywhere)
    return person


class TestCredentialsThatAreNone:
    @every_operation
    async def test_open_nothing(self, house: House, operation: Operation, ended: Person) -> None:
        answers = {
            "nothing": await tried(house, operation, {}),
            "no token": await tried(house, operation, bearer("a.b.c")),
            "no bearer": await tried(house, operation, {"Authorization": "Basic dXNlcjpwdw=="}),
            "no key": await tried(house, operation, {"X-API-Key": "fxk_a"}),
            "of another signing key": await tried(house, operation, house.forged()),
            "expired": await tried(house, operation, house.expired()),
            "of an ended session": await tried(house, operation, ended.headers),
        }
        assert answers == dict.fromkeys(answers, 401)


class TestRoles:
    @every_operation
    async def test_open_what_the_table_says(self, house: House, operation: Operation) -> None:
        answers = {role: await tried(house, operation, await self.headers(house, operation, role)) for role in Role}
        let_in = {role for role, status in answers.items() if status not in SHUT}
        assert let_in == {role for role in Role if operation.permissions <= ROLE_PERMISSIONS[role]}, answers
        assert {status for role, status in answers.items() if role not in let_in} <= {403}, answers

    @staticmethod
    async def headers(house: House, operation: Operation, role: Role) -> dict[str, str]:
        if role is Role.BRIDGE:
            return bearer(house.bridge_access)
        if operation.id in ENDS_THE_SESSION:
            return (await house.another(role)).headers
        return house.people[role].headers

    @every_operation
    async def test_do_not_matter_to_what_only_administrators_do(self, house: House, operation: Operation) -> None:
        if Permission.INSTALLATION_MANAGE in operation.permissions:
            assert await tried(house, operation, house.administrator.headers) not in SHUT
            assert await tried(house, operation, house.owner.headers) == 403


#: After these a person is not who they were: somebody else does them.
ENDS_THE_SESSION = {"log_out", "log_out_everywhere", "leave_organisation"}


class TestOtherOrganisations:
    @pytest.mark.parametrize("operation", NAMING, ids=lambda operation: operation.id)
    async def test_find_nothing_of_this_one(self, house: House, operation: Operation) -> None:
        needs = row(operation)
        ids = nobodys(operation) | {name: house.things[name] for name in operation.parameters if name in house.things}
        body = filled(needs.body, house.things)
        headers = {**house.neighbour.headers, **needs.headers}
        assert await house.status(operation, headers, ids=ids, body=body) == needs.foreign

    @pytest.mark.parametrize("operation", SHOWING, ids=lambda operation: operation.id)
    async def test_would_have_found_it_in_their_own(self, house: House, operation: Operation) -> None:
        """What the test above names is really there."""
        if set(operation.parameters) <= set(house.things):
            finder = house.owner if operation.permissions <= ROLE_PERMISSIONS[Role.OWNER] else house.administrator
            assert await house.status(operation, finder.headers, ids=house.things) not in {*SHUT, 404}
        else:
            assert operation.id in NOTHING_TO_SHOW


#: Things that this house does not have; tests of their own show that others do not find them.
NOTHING_TO_SHOW = {
    "get_bridge_pairing",
    "get_command",
    "get_thumbnail",
    "get_timelapse",
    "download_timelapse",
    "delete_timelapse",
    "get_picture",
    "get_decision",
    "get_decision_picture",
}


class TestApiKeys:
    @every_operation
    async def test_with_the_scope_open_it_and_without_do_not(self, house: House, operation: Operation) -> None:
        if operation.permissions & PERSONAL or Permission.BRIDGE_WORK in operation.permissions:
            assert await tried(house, operation, await house.key(set(ROLE_PERMISSIONS[Role.OWNER]) - PERSONAL)) == 403
            return
        assert (
            await tried(house, operation, await house.key(operation.permissions or {Permission.FILES_READ})) not in SHUT
        )
        if not operation.permissions:
            return
        others = ROLE_PERMISSIONS[Role.OWNER] - PERSONAL - operation.permissions
        assert await tried(house, operation, await house.key(set(others))) == 403
