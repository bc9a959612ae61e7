"""What is unpacked of pictures that come from outside, and what a small file cannot make anybody do."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from fluxprint_camera.relay.unpacking import MAX_PIXELS, MAX_PIXELS_IN_SCANS, MAX_SCANS, Unreadable, unpacked
from fluxprint_camera.viewers.drawing import narrow
from fluxprint_camera.watching.picture import Look
from support.pictures import endless, segment

ORIENTATION = 0x0112


def saved(image: Image.Image, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


class TestUnpacked:
    def test_is_what_cameras_send(self) -> None:
        with unpacked(memoryview(saved(Image.new("RGB", (64, 48)), progressive=True))) as image:
            assert image.convert("L").size == (64, 48)

    def test_is_a_picture_of_some_scans_and_of_no_more(self) -> None:
        assert Look.of(endless(width=256, height=256, scans=MAX_SCANS)).light == pytest.approx(128, abs=1)
        with pytest.raises(Unreadable, match=f"{MAX_SCANS + 1} scans"):
            Look.of(endless(width=256, height=256, scans=MAX_SCANS + 1))

    @pytest.mark.parametrize("progressive", [False, True])
    def test_is_no_picture_that_would_fill_the_memory(self, progressive: bool) -> None:
        picture = saved(Image.new("L", (16, 16)), progressive=progressive)
        side = int((MAX_PIXELS_IN_SCANS if progressive else MAX_PIXELS) ** 0.5) + 1
        start = picture.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
        claims = picture[:start] + struct.pack("!HH", side, side) + picture[start + 4 :]
        with pytest.raises(Unreadable, match=f"{side} x {side} pixels"):
            Look.of(claims)


class TestNarrowed:
    def test_says_how_it_is_to_be_turned(self) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        with Image.open(BytesIO(narrow(memoryview(saved(Image.new("RGB", (320, 240)), exif=exif)), 160))) as small:
            assert (small.size, small.getexif()[ORIENTATION]) == ((160, 120), 6)

    def test_takes_no_nonsense_from_what_the_camera_wrote(self) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 3
        picture = saved(Image.new("RGB", (320, 240)), exif=exif)
        as_bytes = picture.replace(struct.pack(">HH", ORIENTATION, 3), struct.pack(">HH", ORIENTATION, 7))
        assert as_bytes != picture
        with Image.open(BytesIO(narrow(memoryview(as_bytes), 160))) as small:
            assert dict(small.getexif()) == {}

    def test_is_refused_where_exif_ends_too_soon(self) -> None:
        picture = saved(Image.new("RGB", (320, 240)), dpi=(72, 72))
        with pytest.raises(Unreadable, match="unpack requires"):
            narrow(memoryview(picture[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0") + picture[2:]), 160)
