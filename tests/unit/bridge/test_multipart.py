"""Camera streams, with the liberties that cameras take."""

import pytest

from fluxprint_bridge.camera.multipart import MAX_PICTURE_BYTES, BrokenStream, PictureCutter
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

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>" * 5000,
            b"--b\r\n" + b"X-Header: endless\r\n" * 1000,
            b"--b\r\nContent-Length: 99999999999\r\n\r\n",
            b"--b\r\n\r\n" + b"\0" * (MAX_PICTURE_BYTES + 10_000),
        ],
    )
    def test_what_is_no_stream_of_pictures_has_an_end(self, content: bytes) -> None:
        with pytest.raises(BrokenStream):
            PictureCutter().feed(content)
