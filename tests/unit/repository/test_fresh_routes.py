"""Every change that auth makes for a person: it asks for a fresh proof of identity, or stands here with a reason."""

from collections.abc import Iterator

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from fluxprint_auth.dependencies import fresh
from tools.apps import create_apps

#: Whoever finds a session left open could keep what they gain here, or lock its owner out.
FRESH = {
    "create_second_factor",
    "confirm_second_factor",
    "renew_recovery_codes",
    "delete_second_factor",
    "change_password",
    "change_email",
    "create_provider_link",
    "delete_identity",
    "create_api_key",
    "create_bridge",
    "approve_bridge_pairing",
    "deny_bridge_pairing",
    "transfer_ownership",
    "create_member",
    "rotate_signing_key",
    "disable_user",
    "enable_user",
    "unlock_user",
    "reset_second_factor",
    "end_sessions_of_user",
}
#: These ask for none.
WITHOUT = {
    # It is what proves.
    "reauthenticate",
    # Ending access, also of the one who asks: nothing is gained, and it must be quick.
    "log_out",
    "log_out_everywhere",
    "delete_session",
    "delete_api_key",
    "delete_bridge",
    "leave_organisation",
    # The end of `create_provider_link`, which asked.
    "create_identity",
    "update_me",
    # What one may do in an organisation anyway.
    "switch_organisation",
    "create_organisation",
    "update_current_organisation",
    "create_invitation",
    "resend_invitation",
    "revoke_invitation",
    "accept_invitation",
    # Asks where an owner is made or unmade, which only shows when it is looked at (test_members.py).
    "update_member",
    "remove_member",
}

_CHECK = fresh().dependency.__qualname__


def calls(dependant: Dependant) -> Iterator[str]:
    yield getattr(dependant.call, "__qualname__", "")
    for part in dependant.dependencies:
        yield from calls(part)


def changes() -> Iterator[tuple[str, bool]]:
    """What changes something for somebody who is signed in, and whether it asks for a fresh proof."""
    for found in iter_route_contexts(create_apps()["auth"].routes):
        route = found.original_route
        if not isinstance(route, APIRoute) or not str(found.path).startswith("/api/") or not route.include_in_schema:
            continue
        is_public = (route.openapi_extra or {}).get("security") == []
        if not is_public and set(route.methods or ()) - {"GET", "HEAD"}:
            yield route.name, _CHECK in set(calls(route.dependant))


def test_every_change_asks_or_has_a_reason_not_to() -> None:
    found = dict(changes())
    assert {name for name, asks in found.items() if asks} == FRESH
    assert {name for name, asks in found.items() if not asks} == WITHOUT
