"""A multipart upload, streamed: the file's bytes go to storage as they arrive, never to memory as a whole.

Source of the format: RFC 7578 (multipart/form-data).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from fluxprint_common.problems import BadRequest, Invalid, PayloadTooLarge, ServiceError
from fluxprint_queue.files.storage import StagedFile

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE_FIELD = "file"
MAX_FIELD_BYTES = 1024
MAX_FIELDS = 8
#: What the multipart frame may add to the file itself.
FRAME_BYTES = 16 * 1024


class NotMultipart(ServiceError):
    """Send the file as multipart/form-data with a field named file"""

    status, code = 415, "unsupported_media_type"


class UploadIncomplete(BadRequest):
    """The upload ended before its end; nothing was stored, send the file again"""

    code = "upload_incomplete"


class FileMissing(Invalid):
    """There is no file in the request; send one in a field named file, with a file name"""

    code = "file_missing"


class FileTooLarge(PayloadTooLarge):
    """The file is larger than this server takes"""

    code = "file_too_large"


@dataclass
class Upload:
    """What came in: the file's own name, and the small fields beside it."""

    file_name: str
    fields: dict[str, str]


@dataclass
class _Part:
    name: str = ""
    file_name: str | None = None
    value: bytearray = field(default_factory=bytearray)


class _Reader:
    """Callbacks of the parser. They are synchronous, so file bytes are collected per network chunk, then written."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self.pending = bytearray()
        self.ended = False
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._part = _Part()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self.part_begin,
            "on_part_data": self.part_data,
            "on_part_end": self.part_end,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_end": self.end,
        }

    def part_begin(self) -> None:
        self._part = _Part()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def header_end(self) -> None:
        name, value = self._header
        self._header = (b"", b"")
        if name.lower() == b"content-disposition":
            _kind, options = parse_options_header(value)
            self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
            given = options.get(b"filename")
            self._part.file_name = given.decode("utf-8", "replace") if given is not None else None

    def headers_finished(self) -> None:
        if self._part.name == FILE_FIELD:
            if self.file_name is not None or not self._part.file_name:
                raise FileMissing
            self.file_name = self._part.file_name
        elif len(self.fields) >= MAX_FIELDS:
            raise BadRequest(f"At most {MAX_FIELDS} form fields are taken.")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.name == FILE_FIELD:
            self.pending += data[start:end]
            return
        self._part.value += data[start:end]
        if len(self._part.value) > MAX_FIELD_BYTES:
            raise BadRequest(f"The field {self._part.name[:50]!r} is longer than {MAX_FIELD_BYTES} bytes.")

    def part_end(self) -> None:
        if self._part.name != FILE_FIELD:
            self.fields[self._part.name] = self._part.value.decode("utf-8", "replace")

    def end(self) -> None:
        self.ended = True


async def receive(request: Request, staged: StagedFile, *, max_bytes: int) -> Upload:
    """Read a request's multipart body into a staged file.

    Raises:
        NotMultipart, UploadIncomplete, FileMissing, FileTooLarge, StorageFull
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise NotMultipart
    reader = _Reader()
    parser = MultipartParser(boundary, reader.callbacks())
    try:
        async for chunk in request.stream():
            parser.write(chunk)
            if staged.size_bytes + len(reader.pending) > max_bytes:
                raise FileTooLarge(f"A file may have at most {max_bytes} bytes.")
            if reader.pending:
                data, reader.pending = bytes(reader.pending), bytearray()
                await staged.write(data)
        parser.finalize()
    except (MultipartParseError, FormParserError) as error:
        raise UploadIncomplete("The multipart body is malformed or cut off; nothing was stored.") from error
    except ClientDisconnect as error:
        raise UploadIncomplete from error
    if not reader.ended:
        raise UploadIncomplete("The multipart body ends without its closing boundary; nothing was stored.")
    if reader.file_name is None:
        raise FileMissing
    return Upload(reader.file_name, reader.fields)
