"""HTTP of security events: an organisation's for its owners, one's own, and all for administrators."""

from typing import Annotated

from fastapi import APIRouter, Depends

from fluxprint_auth.dependencies import Oneself
from fluxprint_auth.security import repository
from fluxprint_auth.security.repository import Wanted
from fluxprint_auth.security.schemas import Filter, RecordedEvent, show_event
from fluxprint_common import openapi
from fluxprint_common.database import Reading, ReadSession
from fluxprint_common.ids import OrganisationId, UserId
from fluxprint_common.pagination import Page, PageRequest, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require

router = APIRouter(tags=["security-events"])

Filtered = Annotated[Filter, Depends()]


@router.get("/security-events", summary="List security events", responses=openapi.problems(401, 403))
async def list_security_events(
    principal: Annotated[Principal, require(Permission.SECURITY_READ)],
    session: Reading,
    wanted: Filtered,
    paging: Paging,
    user_id: UserId | None = None,
) -> Page[RecordedEvent]:
    """What happened in the caller's organisation, newest first.

    What people do with their accounts outside of any organisation (a failed login, a new password) they see themselves.
    """
    return await _page(session, wanted.of(organisation_id=principal.organisation_id, user_id=user_id), paging)


@router.get("/auth/security-events", summary="List my security events", responses=openapi.problems(401, 403))
async def list_my_security_events(
    principal: Oneself, session: Reading, wanted: Filtered, paging: Paging
) -> Page[RecordedEvent]:
    """What happened to the caller's account, and what they did, newest first."""
    return await _page(session, wanted.of(user_id=principal.subject), paging)


@router.get("/admin/security-events", summary="List all security events", responses=openapi.problems(401, 403))
async def list_all_security_events(
    _principal: Annotated[Principal, require(Permission.INSTALLATION_MANAGE)],
    session: Reading,
    wanted: Filtered,
    paging: Paging,
    user_id: UserId | None = None,
    organisation_id: OrganisationId | None = None,
) -> Page[RecordedEvent]:
    """What happened in the whole installation, newest first."""
    return await _page(session, wanted.of(organisation_id=organisation_id, user_id=user_id), paging)


async def _page(session: ReadSession, wanted: Wanted, paging: PageRequest) -> Page[RecordedEvent]:
    rows = await repository.before(session, wanted, before_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=show_event)
