"""Camera streams, with the liberties that cameras take."""

import pytest

from fluxprint_bridge.camera.faults import Reason, SourceFailed
from fluxprint_bridge.camera.multipart import MAX_PICTURE_BYTES, PictureCutter
from fluxprint_local.jpeg import frame_number, numbered_picture

PICTURES = [numbered_picture(number) for number in range(1, 4)]


def stream(boundary: str, *, length: bool, newline: str = "\r\n") -> bytes:
    parts = []
    for picture in PICTURES:
        header = f"Content-Length: {len(picture)}{newline}" if length else ""
        head = f"--{boundary}{newline}content-type: image/jpeg{newline}{header}{newline}"
        parts.append(head.encode() + picture + newline.encode())
    return b"".join(parts) + f"--{boundary}{newline}".encode()


class TestPictureCutter:
    @pytest.mark.parametrize("chunk", [1, 7, 1000, 1_000_000])
    @pytest.mark.parametrize("length", [True, False])
    @pytest.mark.parametrize("boundary", ["boundarydonotcross", "--already-dashed", "b"])
    @pytest.mark.parametrize("newline", ["\r\n", "\n"])
    def test_cuts_whatever_the_pieces(self, chunk: int, length: bool, boundary: str, newline: str) -> None:
        content = stream(boundary, length=length, newline=newline)
        cutter = PictureCutter()
        found = [
            picture
            for start in range(0, len(content), chunk)
            for picture in cutter.feed(content[start : start + chunk])
        ]
        assert [frame_number(picture) for picture in found] == [1, 2, 3]
        assert found == PICTURES

    def test_a_picture_is_complete_at_its_length(self) -> None:
        head = f"--b\r\nContent-Length: {len(PICTURES[0])}\r\n\r\n".encode()
        assert PictureCutter().feed(head + PICTURES[0]) == [PICTURES[0]]

    def test_a_boundary_without_its_dashes(self) -> None:
        content = stream("mark", length=False).replace(b"--mark", b"mark")
        assert PictureCutter('"mark"').feed(content) == PICTURES

    def test_headers_that_are_sent_ahead(self) -> None:
        """What ustreamer does with `advance_headers`: a picture is complete when its delimiter is there."""
        cutter = PictureCutter("b")
        head = b"--b\r\nContent-Type: image/jpeg\r\n\r\n"
        assert cutter.feed(head) == []
        assert not cutter.in_picture
        assert cutter.feed(PICTURES[0] + b"\r\n" + head) == [PICTURES[0]]
        assert cutter.feed(PICTURES[1][:50]) == []
        assert cutter.in_picture

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"<html>" * 5000, Reason.NOT_A_CAMERA),
            (b"--b\r\n" + b"X-Header: endless\r\n" * 1000, Reason.NOT_A_CAMERA),
            (b"--b\r\nContent-Length: 99999999999\r\n\r\n", Reason.TOO_LARGE),
            (b"--b\r\n\r\n" + b"\0" * (MAX_PICTURE_BYTES + 10_000), Reason.TOO_LARGE),
        ],
    )
    def test_what_is_no_stream_of_pictures_has_an_end(self, content: bytes, reason: Reason) -> None:
        with pytest.raises(SourceFailed) as failed:
            PictureCutter().feed(content)
        assert failed.value.reason is reason
