"""A frame as bytes."""

from email.parser import BytesParser

from fluxprint_camera.relay.frame import BOUNDARY, Frame
from support.camera import TAKEN_AT, jpeg


class TestFrame:
    def test_is_a_part_with_its_length_and_its_picture(self) -> None:
        picture = jpeg(1)
        frame = Frame.of(picture, sequence=1, captured_at=TAKEN_AT)
        part = b"--" + BOUNDARY.encode() + bytes(frame.part)
        head, _, rest = part.partition(b"\r\n\r\n")
        first, _, headers = head.partition(b"\r\n")
        fields = BytesParser().parsebytes(headers)
        assert first == f"--{BOUNDARY}".encode()
        assert fields["Content-Type"] == "image/jpeg"
        assert fields["X-Captured-At"] == "2026-11-21T10:00:00.123Z"
        assert rest == picture + f"\r\n--{BOUNDARY}".encode()
        assert int(fields["Content-Length"]) == len(picture)

    def test_gives_its_picture_without_a_copy(self) -> None:
        frame = Frame.of(jpeg(1), sequence=1, captured_at=TAKEN_AT)
        assert bytes(frame.jpeg) == jpeg(1)
        assert frame.jpeg.obj is frame.part.obj is frame.chunk

    def test_is_a_chunk_of_a_body(self) -> None:
        frame = Frame.of(jpeg(1), sequence=1, captured_at=TAKEN_AT)
        size, _, rest = frame.chunk.partition(b"\r\n")
        assert rest == bytes(frame.part) + b"\r\n"
        assert int(size, 16) == len(frame.part)

    def test_has_a_tag_that_tells_pictures_apart(self) -> None:
        one, again, other = (Frame.of(jpeg(n), sequence=1, captured_at=TAKEN_AT) for n in (1, 1, 2))
        assert one.etag == again.etag != other.etag
        assert one.etag[0] == one.etag[-1] == '"'
