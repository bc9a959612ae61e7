"""Slugs and roles."""

import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxprint_auth.organisations.roles import MemberRole, may_give
from fluxprint_auth.organisations.slugs import candidates, slug_of
from fluxprint_common.permissions import ROLE_PERMISSIONS, Permission, Role


class TestSlugs:
    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Analytical Engines", "analytical-engines"),
            ("  Ünïted -- Mákers! ", "united-makers"),
            ("ﬁne №5", "fine-no5"),
            ("印刷", "organisation"),
            ("-", "organisation"),
            ("x" * 100, "x" * 40),
            (f"{'x' * 39} y", "x" * 39),
        ],
    )
    def test_come_from_the_name(self, name: str, slug: str) -> None:
        assert slug_of(name) == slug

    @given(st.text(max_size=100))
    def test_come_from_any_name(self, name: str) -> None:
        for slug in islice(candidates(name), 3):
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
            assert len(slug) <= 60

    def test_have_others_behind_them_when_they_are_taken(self) -> None:
        assert len(set(candidates("x"))) > 5


class TestRoles:
    def test_are_those_of_the_permissions_table_but_the_bridge(self) -> None:
        assert {Role(role) for role in MemberRole} == set(ROLE_PERMISSIONS) - {Role.BRIDGE}

    def test_are_given_downwards_only(self) -> None:
        ranking = list(MemberRole)
        for i, giver in enumerate(ranking):
            assert [role for role in ranking if may_give(giver, role)] == ranking[i + 1 :]

    def test_every_member_may_see_the_organisation_and_a_bridge_may_not(self) -> None:
        having = {role for role, granted in ROLE_PERMISSIONS.items() if Permission.ORGANISATION_READ in granted}
        assert having == {Role(role) for role in MemberRole}
