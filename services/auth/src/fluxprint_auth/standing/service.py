"""What sessions, API keys and members may do at this moment."""

from fluxprint_auth.standing import repository
from fluxprint_common.database import ReadSession
from fluxprint_common.permissions import Via, permissions_of
from fluxprint_common.standing import Ground, Standing


async def standing_of(session: ReadSession, ground: Ground) -> Standing | None:
    """What a ground allows; None: it is gone."""
    who = {"user_id": ground.user_id, "organisation_id": ground.organisation_id}
    role = await repository.role_of_member(session, **who)
    if role is None:
        return None
    if ground.api_key_id is not None:
        key = await repository.live_key(session, ground.api_key_id, **who)
        if key is None:
            return None
        printers = None if key.printer_ids is None else frozenset(key.printer_ids)
        return Standing(permissions_of(role, " ".join(key.scopes), via=Via.API_KEY), printers)
    if ground.session_id is not None:
        via = await repository.session_via(session, ground.session_id, **who)
        return None if via is None else Standing(permissions_of(role, "", via=Via(via)))
    return Standing(permissions_of(role, ""))
