"""docs/roles.md is written from the code, and lint says where the two differ."""

import re

import pytest

from fluxprint_common.permissions import ROLE_PERMISSIONS, Permission, Role
from tools import roles


@pytest.fixture(scope="module")
def built() -> str:
    return roles.build()


class TestBuilding:
    def test_the_table_says_what_each_role_has(self, built: str) -> None:
        for permission in Permission:
            (row,) = re.findall(rf"^\| \[`{permission}`\].*$", built, flags=re.MULTILINE)
            marks = [cell.strip() == "x" for cell in row.split("|")[2 : 2 + len(Role)]]
            assert dict(zip(Role, marks, strict=True)) == {role: permission in ROLE_PERMISSIONS[role] for role in Role}

    def test_every_permission_but_none_else_has_routes(self, built: str) -> None:
        sections = re.findall(r"^## (.*)$", built, flags=re.MULTILINE)
        assert sections == [str(permission) for permission in Permission]
        assert len(re.findall(r"^\| `(GET|POST|PUT|PATCH|DELETE) /", built, flags=re.MULTILINE)) > 60

    def test_a_route_that_asks_for_a_fresh_proof_says_so(self, built: str) -> None:
        assert "| `POST /organisations/current/transfer` | Hand over ownership, *fresh* |" in built
        assert "| `GET /admin/users` | List accounts |" in built

    def test_links_lead_to_the_sections(self, built: str) -> None:
        anchors = {re.sub(r"[^a-z_]", "", permission) for permission in Permission}
        assert set(re.findall(r"\]\(#(.*?)\)", built)) == anchors


class TestChecking:
    def test_a_role_that_may_more_than_the_document_says_is_found(self, built: str) -> None:
        planted = built.replace(
            "| [`security:read`](#securityread) | x |  |", "| [`security:read`](#securityread) | x | x |"
        )
        assert planted != built
        with pytest.raises(roles.RolesError, match="security:read"):
            roles.check(planted)
