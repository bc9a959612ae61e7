"""Files: what comes in, what is refused, and that a refused one leaves nothing."""

import asyncio
import base64
import hashlib
from pathlib import Path

import httpx
import pytest

from fluxprint_common.permissions import Role
from support.queue import GCODE, QueueWorld, code, eventually, start_queue
from support.servers import Database
from support.tokens import Issuer

FIXTURES = Path(__file__).parents[2] / "fixtures"
BRACKET = (FIXTURES / "bracket.gcode").read_bytes()


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def with_thumbnail(gcode: bytes) -> bytes:
    """G-code with a picture as PrusaSlicer writes it."""
    text = base64.b64encode(PNG).decode()
    lines = "".join(f"; {text[start : start + 78]}\n" for start in range(0, len(text), 78))
    return f"; thumbnail begin 16x12 {len(text)}\n{lines}; thumbnail end\n".encode() + gcode


def stored(world: QueueWorld) -> list[Path]:
    """Everything on disk."""
    return [path for path in (world.folder / "storage").rglob("*") if path.is_file()]


class TestUpload:
    async def test_a_sliced_file_is_kept_and_read(self, world: QueueWorld) -> None:
        answer = await world.upload(BRACKET, "bracket.gcode", sha256=hashlib.sha256(BRACKET).hexdigest())
        assert answer.status_code == 201, answer.text
        file = answer.json()
        assert answer.headers["location"] == f"/api/v1/files/{file['id']}"
        assert file["sha256"] == hashlib.sha256(BRACKET).hexdigest()
        assert file["slicing"]["slicer"] == "PrusaSlicer"
        assert file["slicing"]["estimated_time_s"] > 0
        assert file["slicing"]["filament_length_mm"] > 0
        assert (await world.send("GET", f"/files/{file['id']}")).json() == file
        assert [item["id"] for item in (await world.send("GET", "/files")).json()["items"]] == [file["id"]]

    async def test_its_thumbnails_are_given_out(self, world: QueueWorld) -> None:
        file = (await world.upload(with_thumbnail(GCODE))).json()
        assert file["thumbnails"] == [{"width_px": 16, "height_px": 12, "media_type": "image/png"}]
        answer = await world.send("GET", f"/files/{file['id']}/thumbnails/16x12", expect=200)
        assert answer.headers["content-type"] == "image/png"
        assert answer.content == PNG
        assert code(await world.send("GET", f"/files/{file['id']}/thumbnails/7x7")) == "not_found"

    async def test_the_same_bytes_are_kept_once(self, own_world: QueueWorld) -> None:
        answers = await asyncio.gather(*(own_world.upload(name=f"{number}.gcode") for number in range(8)))
        assert [answer.status_code for answer in answers] == [201] * 8
        assert len(stored(own_world)) == 1

    async def test_extensions_in_any_case_and_accents_are_kept(self, world: QueueWorld) -> None:
        for name in ("A.GCODE", "b.gco", "Tür 漢字.g"):
            assert (await world.upload(name=name)).json()["name"] == name


class TestRefusal:
    @pytest.mark.parametrize(
        ("name", "content", "status", "expected"),
        [
            ("empty.gcode", b"", 422, "file_empty"),
            ("part.stl", GCODE, 422, "file_name_invalid"),
            ("gcode", GCODE, 422, "file_name_invalid"),
            (".gcode", GCODE, 422, "file_name_invalid"),
            ("../../etc/part.gcode", GCODE, 422, "file_name_invalid"),
            ("a\\b.gcode", GCODE, 422, "file_name_invalid"),
            ("x" * 300 + ".gcode", GCODE, 422, "file_name_invalid"),
            ("nul.gcode", GCODE + b"\0\1\2", 422, "not_gcode"),
            ("program.gcode", b"\x7fELF" + bytes(range(256)) * 40, 422, "not_gcode"),
            ("text.gcode", b"Dear printer,\nplease print this.\n" * 50, 422, "not_gcode"),
            ("model.gcode", b"solid cube\nfacet normal 0 0 1\nouter loop\n" * 50, 422, "not_gcode"),
            ("comments.gcode", b"; nothing but words\n" * 10, 422, "not_gcode"),
            ("binary.gcode", b"GCDE\x01\0\0\0", 422, "not_gcode"),
            ("big.gcode", GCODE + b"; padding\n" * 6_000_000, 413, "payload_too_large"),
            ("cut.gcode", BRACKET[: len(BRACKET) // 2], 422, "gcode_truncated"),
            ("tail.gcode", BRACKET[:-3000], 422, "gcode_truncated"),
        ],
    )
    async def test_it_says_why_and_leaves_nothing(
        self, own_world: QueueWorld, name: str, content: bytes, status: int, expected: str
    ) -> None:
        answer = await own_world.upload(content, name)
        assert (answer.status_code, code(answer)) == (status, expected), answer.text
        assert answer.json()["detail"]
        assert stored(own_world) == []
        assert (await own_world.send("GET", "/files")).json()["items"] == []

    async def test_a_file_over_its_own_limit(self, own_world: QueueWorld) -> None:
        """The body limit has room for the multipart frame; the file's own limit has not."""
        limit = 50 * 1024 * 1024
        answer = await own_world.upload(GCODE + b"; padding\n" * ((limit - len(GCODE)) // 10 + 1))
        assert (answer.status_code, code(answer)) == (413, "file_too_large")
        assert stored(own_world) == []

    async def test_bytes_that_differ_from_what_was_announced(self, own_world: QueueWorld) -> None:
        assert code(await own_world.upload(sha256="0" * 64)) == "checksum_mismatch"
        assert stored(own_world) == []

    async def test_a_request_without_a_file(self, world: QueueWorld) -> None:
        answer = await world.send("POST", "/files", files={"other": ("x.gcode", GCODE)})
        assert code(answer) == "file_missing"
        assert code(await world.send("POST", "/files", json={})) == "unsupported_media_type"

    async def test_a_body_without_its_closing_boundary(self, own_world: QueueWorld) -> None:
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.gcode"\r\n\r\n' + GCODE
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = await own_world.send("POST", "/files", content=body, headers=headers)
        assert (answer.status_code, code(answer)) == (400, "upload_incomplete")
        assert stored(own_world) == []

    async def test_a_connection_that_is_cut(self, own_world: QueueWorld) -> None:
        """Half a body, then nothing: the staging file goes with the connection."""
        url = own_world.http.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = (
            "POST /api/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            f"Content-Length: 900000\r\nAuthorization: {own_world.headers()['Authorization']}\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="file"; filename="a.gcode"\r\n\r\n'
        )
        writer.write(head.encode() + GCODE * 8000)
        await writer.drain()

        async def receiving() -> bool:
            return bool(stored(own_world))

        await eventually(receiving)
        writer.close()
        await writer.wait_closed()

        async def gone() -> bool:
            return not stored(own_world)

        await eventually(gone)
        assert await reader.read() is not None

    async def test_uploads_leave_room_on_the_disk(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        async with (
            start_queue(database, issuer, auth_url, tmp_path, storage_reserve_bytes=2**60) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            assert code(await world.upload()) == "storage_full"
            assert not [path for path in (tmp_path / "storage").rglob("*") if path.is_file()]

    async def test_uploads_at_once_do_not_pass_the_bound_together(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        big = GCODE + b"; padding\n" * 100
        async with (
            start_queue(database, issuer, auth_url, tmp_path, storage_bytes=2 * len(big)) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            answers = await asyncio.gather(*(world.upload(big, f"part {number}.gcode") for number in range(6)))
            assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]

    async def test_an_organisations_room_is_bounded(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        room = len(GCODE) + 10
        async with (
            start_queue(database, issuer, auth_url, tmp_path, storage_bytes=max(1024, room)) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            big = GCODE + b"; padding\n" * 60
            first = (await world.upload(big)).json()["id"]
            assert code(await world.upload(big, "again.gcode")) == "storage_quota_exceeded"
            assert (await world.neighbour().upload(big)).status_code == 201
            await world.send("DELETE", f"/files/{first}", expect=204)
            assert (await world.upload(big, "again.gcode")).status_code == 201


class TestDownload:
    async def test_whole_and_in_ranges(self, world: QueueWorld) -> None:
        file = (await world.upload(BRACKET)).json()
        path = f"/files/{file['id']}/content"
        whole = await world.send("GET", path, expect=200)
        assert whole.content == BRACKET
        assert whole.headers["etag"] == f'"{file["sha256"]}"'
        part = await world.send("GET", path, headers={"Range": "bytes=100-199"}, expect=206)
        assert part.content == BRACKET[100:200]
        resumed = {"Range": "bytes=100-", "If-Range": f'"{file["sha256"]}"'}
        assert (await world.send("GET", path, headers=resumed, expect=206)).content == BRACKET[100:]
        beyond = await world.send("GET", path, headers={"Range": f"bytes={len(BRACKET)}-"})
        assert beyond.status_code == 416


class TestDeletion:
    async def test_it_takes_the_bytes_with_the_last_file(self, own_world: QueueWorld) -> None:
        first, second = [(await own_world.upload(name=name)).json()["id"] for name in ("a.gcode", "b.gcode")]
        await own_world.send("DELETE", f"/files/{first}", expect=204)
        assert code(await own_world.send("GET", f"/files/{first}")) == "file_not_found"
        assert len(stored(own_world)) == 1
        await own_world.send("DELETE", f"/files/{second}", expect=204)

        async def gone() -> bool:
            return not stored(own_world)

        await eventually(gone)

    async def test_a_file_that_a_job_needs_stays(self, world: QueueWorld) -> None:
        file = await world.file()
        job = (await world.send("POST", "/jobs", json={"file_id": file}, expect=201)).json()
        assert code(await world.send("DELETE", f"/files/{file}")) == "file_in_use"
        await world.send("POST", f"/jobs/{job['id']}/cancel", expect=200)
        await world.send("DELETE", f"/files/{file}", expect=204)


class TestVisibility:
    async def test_another_organisation_sees_nothing(self, world: QueueWorld) -> None:
        file = await world.file()
        other = world.neighbour()
        for method, path in (("GET", ""), ("GET", "/content"), ("GET", "/thumbnails/16x16"), ("DELETE", "")):
            assert code(await other.send(method, f"/files/{file}{path}")) == "file_not_found"
        assert (await other.send("GET", "/files")).json()["items"] == []
        answer = await other.send("POST", "/jobs", json={"file_id": file})
        assert (answer.status_code, code(answer)) == (422, "reference_unknown")

    async def test_a_client_sees_only_their_own(self, world: QueueWorld) -> None:
        file = await world.file()
        stranger = world.another_bridge()
        stranger.user = stranger.bridge
        assert code(await stranger.send("GET", f"/files/{file}", role=Role.CLIENT)) == "file_not_found"
        assert (await world.send("GET", f"/files/{file}", role=Role.CLIENT)).status_code == 200
