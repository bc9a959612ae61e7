"""HTTP of the administration of an installation."""

from typing import Annotated

from fastapi import APIRouter, Query

from fluxprint_auth.administration import repository, service
from fluxprint_auth.administration.schemas import (
    AdministratedUser,
    AdministratedUserDetail,
    DatabaseState,
    SessionsEnded,
    show_detail,
    show_status,
    show_user,
)
from fluxprint_auth.administration.service import Administration
from fluxprint_auth.dependencies import CurrentClient, CurrentMailer, fresh
from fluxprint_auth.organisations import repository as organisations
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import UserId
from fluxprint_common.pagination import MAX_LIMIT, Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(
    prefix="/admin", tags=["administration"], dependencies=[limit_by_subject("administration", "limit_administration")]
)

Administrator = Annotated[Principal, require(Permission.INSTALLATION_MANAGE)]
FreshAdministrator = Annotated[Principal, fresh(Permission.INSTALLATION_MANAGE)]


@router.get("/users", summary="List accounts", responses=openapi.problems(401, 403))
async def list_users(
    _principal: Administrator,
    session: Reading,
    paging: Paging,
    email: Annotated[str | None, Query(max_length=254, description="A part of the address.")] = None,
) -> Page[AdministratedUser]:
    """Every account of the installation, oldest first."""
    rows = await repository.users(session, email=email, after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=show_user)


@router.get("/users/{user_id}", summary="Get an account", responses=openapi.problems(401, 403, 404))
async def get_user(_principal: Administrator, session: Reading, user_id: UserId) -> AdministratedUserDetail:
    """An account, what it belongs to, and how many sessions it has."""
    user = await service.get(session, user_id)
    memberships = await organisations.of_member(session, user_id, after_id=None, limit=MAX_LIMIT)
    return show_detail(
        user, [(row[0], row[1]) for row in memberships], await repository.live_sessions(session, user_id)
    )


@router.post("/users/{user_id}/disable", summary="Disable an account", responses=openapi.problems(401, 403, 404, 409))
async def disable_user(
    principal: FreshAdministrator, session: Session, client: CurrentClient, user_id: UserId
) -> AdministratedUser:
    """Shut somebody out: they can't sign in, and their sessions and keys are refused at once. Nothing is deleted.

    The last administrator can't be disabled. Needs a recent proof of identity.
    """
    by = Administration(principal=principal, client=client)
    return show_user(await service.disable(session, by, user_id))


@router.post("/users/{user_id}/enable", summary="Enable an account", responses=openapi.problems(401, 403, 404))
async def enable_user(
    principal: FreshAdministrator, session: Session, client: CurrentClient, user_id: UserId
) -> AdministratedUser:
    """Let somebody in again who was disabled. Needs a recent proof of identity."""
    by = Administration(principal=principal, client=client)
    return show_user(await service.enable(session, by, user_id))


@router.post("/users/{user_id}/unlock", summary="Unlock an account", responses=openapi.problems(401, 403, 404))
async def unlock_user(
    principal: FreshAdministrator, session: Session, client: CurrentClient, user_id: UserId
) -> AdministratedUser:
    """Forget somebody's failed logins, so that they need not wait. Needs a recent proof of identity."""
    by = Administration(principal=principal, client=client)
    return show_user(await service.unlock(session, by, user_id))


@router.post(
    "/users/{user_id}/reset-second-factor",
    summary="Reset somebody's second factor",
    responses=openapi.problems(401, 403, 404),
)
async def reset_second_factor(
    principal: FreshAdministrator, session: Session, mailer: CurrentMailer, client: CurrentClient, user_id: UserId
) -> AdministratedUser:
    """Take the second factor of somebody away who has lost it, and end their sessions. First make sure that it is them.

    Needs a recent proof of identity.
    """
    by = Administration(principal=principal, client=client, mailer=mailer)
    return show_user(await service.reset_second_factor(session, by, user_id))


@router.post(
    "/users/{user_id}/end-sessions", summary="Sign somebody out everywhere", responses=openapi.problems(401, 403, 404)
)
async def end_sessions_of_user(
    principal: FreshAdministrator, session: Session, client: CurrentClient, user_id: UserId
) -> SessionsEnded:
    """End all sessions of somebody, at once. Needs a recent proof of identity."""
    by = Administration(principal=principal, client=client)
    return SessionsEnded(ended=await service.end_sessions(session, by, user_id))


@router.get("/db-status", summary="Get the database's state", responses=openapi.problems(401, 403))
async def get_db_status(_principal: Administrator, session: Reading) -> DatabaseState:
    """The schema's revision, sizes, connections, and what waits, of the auth service's database."""
    return show_status(await repository.database_status(session))
