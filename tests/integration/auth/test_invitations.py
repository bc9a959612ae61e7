"""Invitations by mail: who may invite whom, who can accept, and how often."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxprint_auth.mail.rendering import moment
from fluxprint_local.postgres import Cluster
from support.auth import PASSWORD, Auth, Person, at_once, running_auth
from support.databases import new_database
from support.mail import MailFolder, text_of, token_in
from support.servers import Database

CURRENT = "/organisations/current"
INVITATIONS = f"{CURRENT}/invitations"


@dataclass
class Post:
    """The service, and the mails that it has sent."""

    auth: Auth
    folder: MailFolder

    async def invite(self, who: Person, email: str, role: str = "editor") -> httpx.Response:
        return await self.auth.post(INVITATIONS, {"email": email, "role": role}, headers=who.headers)

    async def link(self, who: Person, email: str, role: str = "editor") -> str:
        """The token of a new invitation, as it came by mail."""
        before = len(self.folder.to(email))
        answer = await self.invite(who, email, role)
        assert answer.status_code == 201, answer.text
        return token_in(await self.mail(email, before + 1))

    async def mail(self, email: str, count: int = 1) -> EmailMessage:
        return await self.folder.next_to(email, count)

    async def accept(self, who: Person, token: str) -> httpx.Response:
        return await self.auth.post("/invitations/accept", {"token": token}, headers=who.headers)

    async def register(self, token: str, **changed: Any) -> httpx.Response:
        body = {"token": token, "name": "Grace Hopper", "password": PASSWORD}
        return await self.auth.post("/invitations/register", body | changed)

    async def members(self, who: Person) -> dict[str, str]:
        answer = await self.auth.http.get(f"{CURRENT}/members", headers=who.headers)
        return {member["email"]: member["role"] for member in answer.json()["items"]}


@pytest.fixture(scope="module")
async def post(migrated_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Post]:
    folder: Path = tmp_path_factory.mktemp("mail")
    async with new_database(migrated_cluster) as database, running_auth(database, mail_dir=folder) as auth:
        yield Post(auth, MailFolder(folder, ignoring="Confirm your e-mail address"))


_count = iter(range(10_000))


def somebody() -> str:
    return f"grace-{next(_count)}@example.org"


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


class TestInviting:
    async def test_sends_a_link_that_says_who_invites_to_what(self, post: Post) -> None:
        ada, email = await post.auth.register(organisation_name="Bold & <b>Brave"), somebody()
        answer = await post.invite(ada, email.upper())
        assert answer.status_code == 201
        body = answer.json()
        assert (body["email"], body["role"]) == (email, "editor")
        assert "token" not in answer.text
        mail = await post.mail(email)
        assert mail["Subject"] == 'Invitation to "Bold & <b>Brave"'
        text, html = text_of(mail), text_of(mail, "html")
        assert '"Ada Lovelace" invites you to the organisation "Bold & <b>Brave"' in text
        assert "Bold &amp; &lt;b&gt;Brave" in html
        assert f"until {moment(datetime.fromisoformat(body['expires_at']))}" in text
        assert token_in(mail).startswith("fxi_")
        stored = await post.auth.fetch("SELECT t::text FROM auth.invitation t")
        assert token_in(mail) not in str(stored)
        told = await post.auth.fetch(
            "SELECT type FROM auth.security_events WHERE data->>'invitation_id' = $1", body["id"]
        )
        assert len(told) == 1

    @pytest.mark.parametrize(
        ("giver", "may"),
        [
            ("owner", {"manager", "editor", "viewer", "client"}),
            ("manager", {"editor", "viewer", "client"}),
            ("editor", set()),
            ("viewer", set()),
            ("client", set()),
        ],
    )
    async def test_to_a_role_below_ones_own_only(self, post: Post, giver: str, may: set[str]) -> None:
        person = await post.auth.register()
        if giver != "owner":
            person = await post.auth.add_member(person, giver)
        roles = ("manager", "editor", "viewer", "client")
        answers = {role: await post.invite(person, somebody(), role) for role in roles}
        assert {role for role, answer in answers.items() if answer.status_code == 201} == may
        assert {answer.status_code for answer in answers.values()} <= {201, 403}
        assert (await post.invite(person, somebody(), "owner")).status_code == (422 if may else 403)

    async def test_answers_the_same_whether_the_address_has_an_account(self, post: Post) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        answers = [await post.invite(ada, grace.email), await post.invite(ada, somebody())]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert len({tuple(sorted(answer.json())) for answer in answers}) == 1
        assert len(text_of(await post.mail(grace.email)).splitlines()) > 3

    async def test_a_member_is_refused(self, post: Post) -> None:
        ada = await post.auth.register()
        editor = await post.auth.add_member(ada, "editor")
        assert refused(await post.invite(ada, editor.email)) == (409, "already_member")

    async def test_the_same_address_again_takes_the_place_of_the_first(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        first, second = await post.link(ada, email), await post.link(ada, email, "viewer")
        listed = (await post.auth.http.get(INVITATIONS, headers=ada.headers)).json()["items"]
        assert [(one["email"], one["role"]) for one in listed] == [(email, "viewer")]
        assert refused(await post.register(first)) == (404, "invitation_invalid")
        assert (await post.register(second)).status_code == 201

    async def test_a_manager_does_not_replace_what_an_owner_offered(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        manager = await post.auth.add_member(ada, "manager")
        token = await post.link(ada, email, "manager")
        assert refused(await post.invite(manager, email, "client")) == (403, "role_not_below_yours")
        (one,) = (await post.auth.http.get(INVITATIONS, headers=manager.headers)).json()["items"]
        gone = await post.auth.http.delete(f"{INVITATIONS}/{one['id']}", headers=manager.headers)
        assert refused(gone) == (403, "role_not_below_yours")
        assert (await post.register(token)).status_code == 201

    async def test_the_same_address_many_times_at_once_leaves_one_open(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        answers = await at_once(8, lambda: post.invite(ada, email))
        assert {answer.status_code for answer in answers} == {201}
        assert len((await post.auth.http.get(INVITATIONS, headers=ada.headers)).json()["items"]) == 1

    async def test_resending_voids_the_link_before(self, post: Post) -> None:
        ada, stranger, email = await post.auth.register(), await post.auth.register(), somebody()
        first = await post.link(ada, email)
        (one,) = (await post.auth.http.get(INVITATIONS, headers=ada.headers)).json()["items"]
        again = f"{INVITATIONS}/{one['id']}/resend"
        assert (await post.auth.post(again, headers=stranger.headers)).status_code == 404
        assert (await post.auth.post(again, headers=ada.headers)).status_code == 201
        second = token_in(await post.mail(email, 2))
        assert refused(await post.register(first)) == (404, "invitation_invalid")
        assert (await post.register(second)).status_code == 201

    async def test_revoking(self, post: Post) -> None:
        ada, stranger, email = await post.auth.register(), await post.auth.register(), somebody()
        token = await post.link(ada, email)
        (one,) = (await post.auth.http.get(INVITATIONS, headers=ada.headers)).json()["items"]
        path = f"{INVITATIONS}/{one['id']}"
        assert (await post.auth.http.delete(path, headers=stranger.headers)).status_code == 404
        assert (await post.auth.http.delete(path, headers=ada.headers)).status_code == 204
        assert (await post.auth.http.delete(path, headers=ada.headers)).status_code == 404
        assert refused(await post.register(token)) == (404, "invitation_invalid")

    async def test_only_so_many_are_open(self, database: Database, tmp_path: Path) -> None:
        async with running_auth(database, mail_dir=tmp_path, invitations_open=2) as auth:
            post, ada = Post(auth, MailFolder(tmp_path, ignoring="Confirm your e-mail address")), await auth.register()
            answers = await asyncio.gather(*(post.invite(ada, somebody()) for _ in range(5)))
            assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]

    async def test_without_mail_says_so(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.post(INVITATIONS, {"email": somebody(), "role": "viewer"}, headers=ada.headers)
        assert refused(answer) == (403, "mail_disabled")

    async def test_of_one_address_is_limited_whoever_invites(self, database: Database, tmp_path: Path) -> None:
        limits = {"rate_limits_enabled": True, "limit_invitations_address": "2/day"}
        async with running_auth(database, mail_dir=tmp_path, **limits) as auth:
            post, email = Post(auth, MailFolder(tmp_path, ignoring="Confirm your e-mail address")), somebody()
            answers = [await post.invite(await auth.register(), email) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [201, 201, 429]
            assert int(answers[2].headers["Retry-After"]) > 0


class TestAccepting:
    async def test_as_somebody_who_has_an_account(self, post: Post) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        await post.auth.fetch('UPDATE auth."user" SET email_verified_at = NULL WHERE email = $1', grace.email)
        token = await post.link(ada, grace.email, "viewer")
        answer = await post.accept(grace, token)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"organisation": ada.organisation, "role": "viewer"}
        assert (await post.members(ada))[grace.email] == "viewer"
        mine = (await post.auth.http.get("/organisations", headers=grace.headers)).json()["items"]
        assert {one["organisation"]["id"]: one["role"] for one in mine} == {
            grace.organisation["id"]: "owner", ada.organisation["id"]: "viewer",
        }  # fmt: skip
        verified = 'SELECT email_verified_at IS NOT NULL FROM auth."user" WHERE email = $1'
        assert await post.auth.value(verified, grace.email) is True
        assert refused(await post.accept(grace, token)) == (404, "invitation_invalid")

    async def test_with_another_account_than_the_invited_one_is_refused(self, post: Post) -> None:
        ada, grace, eve = [await post.auth.register() for _ in range(3)]
        token = await post.link(ada, grace.email)
        answer = await post.accept(eve, token)
        assert refused(answer) == (403, "invitation_for_another")
        assert grace.email not in answer.text
        assert (await post.accept(grace, token)).status_code == 200

    async def test_many_times_at_once_joins_once(self, post: Post) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        token = await post.link(ada, grace.email)
        answers = await at_once(10, lambda: post.accept(grace, token))
        assert sorted(answer.status_code for answer in answers) == [200] + [404] * 9
        rows = await post.auth.value(
            'SELECT count(*) FROM auth.membership JOIN auth."user" u ON u.id = user_id WHERE u.email = $1', grace.email
        )
        assert rows == 2
        events = await post.auth.value(
            'SELECT count(*) FROM auth.security_events e JOIN auth."user" u ON u.id = e.user_id '
            "WHERE e.type = 'auth_invitation_accepted' AND u.email = $1",
            grace.email,
        )
        assert events == 1

    async def test_after_it_has_expired_is_refused(self, post: Post) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        token = await post.link(ada, grace.email)
        await post.auth.fetch("UPDATE auth.invitation SET expires_at = now() WHERE email = $1", grace.email)
        assert refused(await post.accept(grace, token)) == (404, "invitation_invalid")
        assert (await post.invite(ada, grace.email)).status_code == 201

    @pytest.mark.parametrize("token", ["", "fxi_", "fxi_" + "0" * 49, "x" * 200])
    async def test_with_a_guess_is_refused(self, post: Post, token: str) -> None:
        ada = await post.auth.register()
        for answer in (
            await post.accept(ada, token),
            await post.register(token),
            await post.auth.post("/invitations/preview", {"token": token}),
            await post.auth.post("/invitations/join", {"token": token}),
        ):
            assert refused(answer) == (404, "invitation_invalid")

    @pytest.mark.parametrize("what", ["demoted", "removed", "disabled"])
    async def test_of_somebody_who_may_no_longer_invite_is_refused(self, post: Post, what: str) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        manager = await post.auth.add_member(ada, "manager")
        token = await post.link(manager, grace.email, "editor")
        me = (await post.auth.http.get("/auth/me", headers=manager.headers)).json()["user"]["id"]
        path = f"{CURRENT}/members/{me}"
        match what:
            case "demoted":
                await post.auth.http.patch(path, json={"role": "editor"}, headers=ada.headers)
            case "removed":
                await post.auth.http.delete(path, headers=ada.headers)
            case _:
                await post.auth.fetch('UPDATE auth."user" SET disabled_at = now() WHERE email = $1', manager.email)
        assert refused(await post.accept(grace, token)) == (404, "invitation_invalid")
        assert grace.email not in await post.members(ada)

    async def test_guessing_is_limited(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_invitation_use="3/minute") as auth:
            body = {"token": "fxi_" + "0" * 49}
            answers = [await auth.post("/invitations/preview", body) for _ in range(3)]
            answers += [await auth.post("/invitations/join", body)]
            answers += [await auth.post("/invitations/register", body | {"name": "x", "password": PASSWORD})]
            assert [answer.status_code for answer in answers] == [404, 404, 404, 429, 429]


class TestRegistering:
    async def test_makes_a_verified_account_that_is_signed_in(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        token = await post.link(ada, email, "manager")
        look = await post.auth.post("/invitations/preview", {"token": token})
        assert look.json() | {"expires_at": ""} == {
            "organisation_name": "Analytical Engines", "email": email, "role": "manager", "expires_at": "",
        }  # fmt: skip
        answer = await post.register(token)
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert (body["user"]["email"], body["organisation"]) == (email, ada.organisation)
        headers = {"Authorization": f"Bearer {body['tokens']['access_token']}"}
        assert (await post.auth.http.get(CURRENT, headers=headers)).json()["role"] == "manager"
        await post.auth.log_in(email)
        verified = 'SELECT email_verified_at IS NOT NULL FROM auth."user" WHERE email = $1'
        assert await post.auth.value(verified, email) is True

    async def test_works_where_registration_is_switched_off(self, database: Database, tmp_path: Path) -> None:
        async with running_auth(database, mail_dir=tmp_path) as open_house:
            ada = await open_house.register()
        async with running_auth(database, mail_dir=tmp_path, registration_enabled=False) as auth:
            post, email = Post(auth, MailFolder(tmp_path, ignoring="Confirm your e-mail address")), somebody()
            token = await post.link(Person(ada.email, await auth.log_in(ada.email)), email)
            assert (await post.register(token)).status_code == 201

    async def test_many_times_at_once_makes_one_account(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        token = await post.link(ada, email)
        answers = await at_once(6, lambda: post.register(token))
        assert sorted(answer.status_code for answer in answers)[0] == 201
        assert {refused(answer) for answer in answers if answer.status_code != 201} == {(404, "invitation_invalid")}

    async def test_with_an_address_that_has_an_account_says_so_to_who_reads_its_mail(self, post: Post) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        token = await post.link(ada, grace.email)
        assert refused(await post.register(token)) == (409, "email_taken")
        assert (await post.accept(grace, token)).status_code == 200  # it was not used up

    async def test_a_weak_password_is_refused_and_the_invitation_stays(self, post: Post) -> None:
        ada, email = await post.auth.register(), somebody()
        token = await post.link(ada, email)
        assert (await post.register(token, password=email)).status_code == 422
        assert (await post.register(token)).status_code == 201


class TestJoiningWithoutAnOrganisation:
    async def test_a_verified_account_joins_by_the_link_alone(self, post: Post) -> None:
        ada = await post.auth.register()
        viewer = await post.auth.add_member(ada, "viewer")
        await post.auth.post(f"{CURRENT}/leave", headers=viewer.headers)
        await post.auth.fetch('UPDATE auth."user" SET email_verified_at = now() WHERE email = $1', viewer.email)
        token = await post.link(ada, viewer.email)
        answer = await post.auth.post("/invitations/join", {"token": token})
        assert (answer.status_code, answer.json()["role"]) == (200, "editor")
        assert "access_token" not in answer.text
        await post.auth.log_in(viewer.email)

    @pytest.mark.parametrize("why", ["not verified", "a member elsewhere", "disabled", "unknown"])
    async def test_others_are_told_to_sign_in(self, post: Post, why: str) -> None:
        ada, grace = await post.auth.register(), await post.auth.register()
        email = grace.email
        change = 'UPDATE auth."user" SET {} WHERE email = $1'
        match why:
            case "not verified":
                await post.auth.fetch(change.format("email_verified_at = NULL"), email)
                await post.auth.fetch("DELETE FROM auth.organisation WHERE slug = $1", grace.organisation["slug"])
            case "a member elsewhere":
                await post.auth.fetch(change.format("email_verified_at = now()"), email)
            case "disabled":
                await post.auth.fetch(change.format("email_verified_at = now(), disabled_at = now()"), email)
                await post.auth.fetch("DELETE FROM auth.organisation WHERE slug = $1", grace.organisation["slug"])
            case _:
                email = somebody()
        token = await post.link(ada, email)
        answer = await post.auth.post("/invitations/join", {"token": token})
        assert refused(answer) == (409, "sign_in_to_accept")
        assert email not in await post.members(ada)
