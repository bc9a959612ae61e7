"""What `GET /jobs/{id}` is measured against: FastAPI and asyncpg with nothing around them.

The same row by the same condition, the same columns, the same response model: the same JSON. It checks no token,
writes no log, counts nothing and hands out no request ids.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException, Request

from fluxprint_common.ids import OrganisationId
from fluxprint_queue.ids import JobId
from fluxprint_queue.jobs.schemas import Job

_QUERY = f"""
    SELECT {", ".join(Job.model_fields)} FROM queue.job WHERE organisation_id = $1 AND id = $2
"""  # noqa: S608  (the names of our own model)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/api/v1/jobs/{organisation_id}/{job_id}", response_model=Job)
async def get_job(request: Request, organisation_id: OrganisationId, job_id: JobId) -> object:
    pool: asyncpg.Pool = request.app.state.pool
    row = await pool.fetchrow(_QUERY, organisation_id, job_id)
    if row is None:
        raise HTTPException(404)
    return dict(row)
