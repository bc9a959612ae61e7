"""A queue's database as a farm leaves it after years: finished jobs with their attempts, reports, commands, events.

Written in bulk, by SQL. Every row is one that the service itself would have left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

#: A finished job every minute, the last one a day ago; only the events of the last 90 days are kept.
_APART_S = 60
_EVENTS_KEPT_DAYS = 90

# A UUIDv7 (RFC 9562, 5.7) of a moment and 15 hexadecimal digits: keys lie in their indexes as the service's own do.
_V7 = """
CREATE FUNCTION pg_temp.v7(at timestamptz, tail text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008' || tail)::uuid
$$"""

_FILE = """
WITH content AS (
    INSERT INTO queue.blob (sha256, size_bytes) VALUES (repeat('0', 64), 1000) ON CONFLICT DO NOTHING
)
INSERT INTO queue.file (id, organisation_id, name, extension, sha256, size_bytes, slicing, uploaded_by)
VALUES ($1, $2, 'part.gcode', 'gcode', repeat('0', 64), 1000, '{}', $3)"""

_PRINTERS = """
INSERT INTO queue.printer (id, organisation_id, bridge_id, name, enabled, bed_state, connection, last_seen_at)
SELECT id, $1, $2, 'Printer ' || id, true, 'clear', 'online', now() + interval '1 day' FROM unnest($3::uuid[]) id"""

_FINISHED_JOBS = """
INSERT INTO queue.job (id, organisation_id, file_id, name, priority, copies, copies_open, copies_completed,
                       state, reason, created_by, created_at, failed_at, cancel_requested_at, ended_at)
SELECT pg_temp.v7(at, lpad(to_hex(n), 15, '0')), $1, $2, 'Part ' || n, 50, 1, 0, (state = 'completed')::int,
       state, CASE state WHEN 'failed' THEN 'print_failed' END, $3, at,
       CASE state WHEN 'failed' THEN at END, CASE state WHEN 'cancelled' THEN at END, at + interval '1 hour'
FROM (SELECT n, now() - interval '1 day' - ($4::int - n) * make_interval(secs => $5) AS at,
             (ARRAY['failed', 'cancelled'] || array_fill('completed'::text, ARRAY[18]))[1 + n % 20] AS state
      FROM generate_series(1, $4::int) n) finished"""

# Before one in ten of them, a bridge went silent.
_ATTEMPTS = """
INSERT INTO queue.attempt (id, organisation_id, job_id, printer_id, bridge_id, journal_id, copy_number, state,
                           lease_expires_at, reason, created_at, permitted_at, started_at, ended_at)
SELECT CASE try.state WHEN 'released' THEN pg_temp.v7(j.created_at, right(md5(j.name), 15)) ELSE j.id END,
       j.organisation_id, j.id,
       ($2::uuid[])[1 + (hashtext(j.id::text)::bigint & 65535) % cardinality($2::uuid[])], $1, $1, 1, try.state,
       j.created_at, CASE try.state WHEN 'released' THEN 'printer_offline' ELSE j.reason END,
       j.created_at, j.created_at, j.created_at, j.ended_at
FROM queue.job j CROSS JOIN LATERAL (SELECT j.state UNION ALL SELECT 'released' WHERE right(j.name, 1) = '7') try
WHERE j.ended_at IS NOT NULL"""

_REPORTS = """
INSERT INTO queue.attempt_report (attempt_id, report_id, kind, accepted_at)
SELECT a.id, gen_random_uuid(), report.kind, a.ended_at
FROM queue.attempt a CROSS JOIN LATERAL (VALUES ('started'), (a.state)) report (kind) WHERE a.state <> 'released'"""

_COMMANDS = """
INSERT INTO queue.command (id, organisation_id, printer_id, attempt_id, kind, state, created_by, created_at,
                           deadline_at, ended_at)
SELECT a.id, a.organisation_id, a.printer_id, a.id, 'cancel', 'succeeded',
       $1, a.created_at, a.ended_at, a.ended_at
FROM queue.attempt a WHERE a.state = 'cancelled'"""

_EVENTS = """
INSERT INTO queue.event (id, organisation_id, type, subject, printer_id, data, created_at)
SELECT gen_random_uuid(), a.organisation_id, event.type, a.subject, a.printer_id, a.data, a.created_at
FROM (SELECT *, 'attempt_' || replace(id::text, '-', '') AS subject,
             jsonb_build_object('job_id', 'job_' || replace(job_id::text, '-', ''), 'copy_number', 1, 'reason', reason,
                                'printer_id', 'printer_' || replace(printer_id::text, '-', ''), 'detail', NULL) AS data
      FROM queue.attempt WHERE created_at > now() - make_interval(days => $1) ORDER BY id OFFSET 0) a
CROSS JOIN LATERAL (VALUES ('job.created'), ('attempt.claimed'), ('job.active'), ('attempt.starting'),
                           ('attempt.printing'), ('attempt.' || a.state), ('job.' || a.state)) event (type)"""

_WAITING_JOBS = """
INSERT INTO queue.job (id, organisation_id, file_id, printer_id, name, priority, copies, copies_open, state, created_by)
SELECT pg_temp.v7(clock_timestamp(), right(gen_random_uuid()::text, 12) || '000'), $1, $2, $3, 'Waiting ' || n,
       $4, $5, $5, 'queued', $6
FROM generate_series(1, $7::int) n"""

_GIVEN_BACK = """
INSERT INTO queue.attempt (id, organisation_id, job_id, printer_id, bridge_id, journal_id, copy_number, state,
                           lease_expires_at, reason, ended_at)
SELECT gen_random_uuid(), j.organisation_id, j.id, $1, $2, $2, 1, 'released', now(), 'printer_offline', now()
FROM generate_series(1, $3::int)
CROSS JOIN (SELECT * FROM queue.job WHERE state = 'queued' ORDER BY priority DESC, id LIMIT 1) j"""


@dataclass(frozen=True)
class Farm:
    """Whose history it is."""

    organisation: UUID
    user: UUID
    bridge: UUID
    file: UUID
    printers: Sequence[UUID]


async def open_farm(owner: asyncpg.Connection, farm: Farm) -> None:
    """Add its file and its printers: enabled, online and with a clear bed. `owner` may write to every table."""
    await owner.execute(_V7)
    await owner.execute(_FILE, farm.file, farm.organisation, farm.user)
    await owner.execute(_PRINTERS, farm.organisation, farm.bridge, farm.printers)


async def finish_jobs(owner: asyncpg.Connection, farm: Farm, count: int) -> None:
    """Add so many finished jobs with all that they left. A million take about three minutes."""
    await owner.execute("SET session_replication_role = replica")  # the rows refer to each other as they should
    try:
        await owner.execute(_FINISHED_JOBS, farm.organisation, farm.file, farm.user, count, _APART_S)
        await owner.execute(_ATTEMPTS, farm.bridge, farm.printers)
        await owner.execute(_REPORTS)
        await owner.execute(_COMMANDS, farm.user)
        await owner.execute(_EVENTS, _EVENTS_KEPT_DAYS)
    finally:
        await owner.execute("RESET session_replication_role")


async def queue_jobs(
    owner: asyncpg.Connection,
    farm: Farm,
    count: int,
    *,
    printer: UUID | None = None,
    priority: int = 50,
    copies: int = 1,
) -> None:
    """Add so many waiting jobs."""
    await owner.execute(_WAITING_JOBS, farm.organisation, farm.file, printer, priority, copies, farm.user, count)


async def give_back(owner: asyncpg.Connection, farm: Farm, times: int, *, printer: UUID) -> None:
    """Have the best waiting job given back so often."""
    await owner.execute(_GIVEN_BACK, printer, farm.bridge, times)
