"""Errors as RFC 9457 `application/problem+json`, rendered in one place.

A service raises a `ServiceError`; its docstring is the title, its `code` is stable, `detail` says what to do.
A request's body is never echoed.
"""

import re
from collections.abc import Mapping, Sequence
from socket import gaierror
from typing import ClassVar

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from structlog.contextvars import get_contextvars

from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_FIELD_PROBLEMS = 50
_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")


class FieldProblem(BaseModel):
    """One thing that is wrong in a request."""

    pointer: str = Field(
        max_length=500, description="Where: a JSON Pointer into the body, or `query/name`, `header/name`."
    )
    code: str = Field(max_length=100)
    message: str = Field(max_length=1000)


class Problem(BaseModel):
    """A problem as RFC 9457 describes it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(max_length=200, examples=["urn:fluxprint:problem:not_found"])
    title: str = Field(max_length=200)
    status: int = Field(ge=400, le=599, json_schema_extra={"format": "int32"})
    code: str = Field(max_length=100, description="Stable; branch on this one.", examples=["not_found"])
    detail: str = Field(max_length=2000, description="For a person: what happened and what to do.")
    request_id: str = Field(max_length=100, description="Quote it when you ask for help.")
    errors: list[FieldProblem] = Field(max_length=_MAX_FIELD_PROBLEMS)
    challenge: str | None = Field(
        None,
        max_length=200,
        description="With the code `second_factor_required` of a sign-in only: what the code is to be sent with.",
    )


class ServiceError(Exception):
    """Something went wrong"""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    #: The unit of work commits before this error is answered: security state that the failure itself changed.
    keeps_writes: ClassVar[bool] = False
    #: What a client needs to go on, beside the members that every problem has (RFC 9457, 3.2).
    challenge: str | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or f"{self.title}."
        self.errors = list(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")


class BadRequest(ServiceError):
    """The request cannot be understood"""

    status, code = 400, "bad_request"


class Unauthenticated(ServiceError):
    """Sign in first"""

    status, code = 401, "unauthenticated"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="fluxprint"'})


class Forbidden(ServiceError):
    """Your role does not allow this"""

    status, code = 403, "forbidden"


class NotFound(ServiceError):
    """There is no such thing here, or it is not yours"""

    status, code = 404, "not_found"


class Conflict(ServiceError):
    """The state of the resource does not allow this"""

    status, code = 409, "conflict"


class PayloadTooLarge(ServiceError):
    """The request body is too large"""

    status, code = 413, "payload_too_large"


class Invalid(ServiceError):
    """The content of the request is not valid"""

    status, code = 422, "validation_failed"


class RateLimited(ServiceError):
    """Too many requests"""

    status, code = 429, "rate_limited"


class Unavailable(ServiceError):
    """A part of the system is away; try again soon"""

    status, code = 503, "unavailable"

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})


class DatabaseUnavailable(Unavailable):
    """The database does not answer; nothing was changed, try again soon"""

    code = "database_unavailable"


def render(error: ServiceError) -> Response:
    """The answer for an error."""
    request_id = str(get_contextvars().get("request_id", ""))
    problem = Problem(
        type=f"urn:fluxprint:problem:{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=error.detail[:2000],
        request_id=request_id,
        errors=error.errors[:_MAX_FIELD_PROBLEMS],
        challenge=error.challenge,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), error.status, headers=error.headers, media_type=MEDIA_TYPE
    )


#: How a database that does not answer looks; a stopped container's name is no longer found, and a connection that was
#: just cut is in no state to take a query.
_AWAY = (PoolTimeout, ConnectionError, TimeoutError, gaierror, asyncpg.InterfaceError, asyncpg.InternalClientError)

ConstraintErrors = Mapping[str, type[ServiceError]]


def install(app: FastAPI, *, constraint_errors: ConstraintErrors) -> None:
    """Render every error of `app` as a problem.

    Args:
        constraint_errors: which error a violated database constraint means, by the constraint's name.
    """

    async def service_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)  # noqa: S101  (starlette types every handler alike)
        if error.status == 500:  # a 503 is an answer, given as often as somebody asks
            log.error("service_error", code=error.code, detail=error.detail)
        return render(error)

    async def database_error(_request: Request, error: Exception) -> Response:
        translated = from_database(error, constraint_errors)
        if translated is None:
            raise error
        return render(translated)

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    for kind in (DBAPIError, asyncpg.PostgresError, *_AWAY):
        app.add_exception_handler(kind, database_error)


#: Serialization failure, deadlock, lock not available: the same request succeeds a moment later.
_AGAIN = frozenset({"40001", "40P01", "55P03"})


def from_database(error: BaseException, constraint_errors: ConstraintErrors) -> ServiceError | None:
    """What a database error means to a client, or None where it is our own bug."""
    if isinstance(error, IntegrityError):
        name = getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)
        kind = constraint_errors.get(name or "")
        return kind() if kind else None
    if isinstance(error, DBAPIError):
        cause = getattr(error.orig, "__cause__", None)
        away = error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
        return DatabaseUnavailable() if away or _passes(cause) else None
    return DatabaseUnavailable() if isinstance(error, _AWAY) or _passes(error) else None


def _passes(error: object) -> bool:
    """Whether an error that PostgreSQL reports goes away by itself."""
    # SQLSTATE classes: 08 connection, 53 resources, 57 operator intervention.
    state = str(getattr(error, "sqlstate", None) or "")
    return state[:2] in {"08", "53", "57"} or state in _AGAIN


class MethodNotAllowed(ServiceError):
    """This path does not answer that method"""

    status, code = 405, "method_not_allowed"


_BY_STATUS: dict[int, type[ServiceError]] = {
    kind.status: kind
    for kind in (BadRequest, Forbidden, NotFound, MethodNotAllowed, Conflict, PayloadTooLarge, RateLimited)
}


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if isinstance(error.__cause__, ServiceError):  # FastAPI wraps whatever is raised while it reads a body
        return render(error.__cause__)
    if error.status_code == 405:
        return render(MethodNotAllowed(headers={"Allow": ", ".join(sorted(_methods_at(request)))}))
    kind = _BY_STATUS.get(error.status_code, BadRequest if error.status_code < 500 else ServiceError)
    return render(kind(str(error.detail) if kind is BadRequest else None, headers=error.headers))


def _methods_at(request: Request) -> set[str]:
    """Every method that the path answers; Starlette names those of the first matching route only."""
    path, app = request.scope["path"], request.app
    routes = [route for route in iter_route_contexts(app.routes) if route.path_regex.match(path)]
    return {method for route in routes for method in route.methods or ()}


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    details = error.errors()
    if details and all(item["loc"][0] == "path" for item in details):
        return render(NotFound())  # a malformed id names nothing
    return render(
        Invalid(
            "See errors for each field.",
            errors=[
                FieldProblem(pointer=_pointer(item["loc"]), code=str(item["type"]), message=_message(item["msg"]))
                for item in details[:_MAX_FIELD_PROBLEMS]
            ],
        )
    )


def _message(text: str) -> str:
    """Pydantic shows the members of an enumeration as Python does; a client knows their values."""
    return _MEMBER.sub(r"\1", text)[:1000]


def _pointer(loc: Sequence[str | int]) -> str:
    place, *rest = loc
    path = "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in rest)
    if place == "body":
        return f"/{path}"[:500] if rest else ""  # RFC 6901: the empty pointer is the whole document
    return f"{place}/{path}"[:500]
