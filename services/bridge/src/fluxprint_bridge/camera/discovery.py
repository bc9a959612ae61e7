"""Which cameras OctoPrint knows: the default where the bridge's settings name none.

Source: OctoPrint 1.11, `GET /api/settings`, `webcam.webcams[]` with `compat`, which plugins such as the classic webcam
fill in; older ones have the same in `webcam.streamUrl` and `webcam.snapshotUrl`. Both take the permissions Settings
Read and Webcam.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit

from fluxprint_bridge.addresses import is_loopback
from fluxprint_bridge.camera.config import DEFAULT_KEY, Address, CameraConfig, key_of, name_of
from fluxprint_bridge.camera.settings import MAX_CAMERAS
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import OctoPrintError, Refused
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_EVERY_S = 120.0
MAX_BACKOFF_S = 60.0
#: Without the permission it is asked again now and then: somebody may give it.
REFUSED_PAUSE_S = 600.0
MAX_URL_CHARS = 2000
#: The webcam that OctoPrint brings along. In older ones it is the only one, and has no name.
CLASSIC = "classic"

Found = Callable[[list[CameraConfig]], None]


async def keep_discovering(octoprint: OctoPrintClient, printer_id: str, found: Found) -> None:
    """Look for ever, and tell what there is."""
    failures = 0
    refused = False
    while True:
        try:
            cameras = cameras_of(await octoprint.settings(), octoprint.url)
        except Refused as error:
            if not refused:
                log.info("cameras_not_discovered", printer=printer_id, error=str(error)[:300])
            refused = True
            await asyncio.sleep(REFUSED_PAUSE_S)
        except OctoPrintError:
            failures += 1
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
        else:
            failures, refused = 0, False
            found(cameras)
            await asyncio.sleep(LOOK_EVERY_S * random.uniform(0.9, 1.1))  # noqa: S311  (spreads load)


def cameras_of(settings: Mapping[str, object], octoprint_url: str) -> list[CameraConfig]:
    """The cameras in OctoPrint's settings; what is no http address or makes no sense is left out."""
    webcam = _mapping(settings.get("webcam"))
    if webcam.get("webcamEnabled") is False:
        return []
    listed = webcam.get("webcams")
    cameras = [_mapping(entry) for entry in listed] if isinstance(listed, list) else []
    found: dict[str, CameraConfig] = {}
    for entry in cameras[:MAX_CAMERAS]:
        name = _text(entry.get("name"))
        key = _key(name)
        compat = _mapping(entry.get("compat"))
        camera = _camera(
            key,
            _text(entry.get("displayName")) or name,
            entry,
            stream=_text(compat.get("stream")),
            snapshot=_text(compat.get("snapshot")),
            octoprint_url=octoprint_url,
        )
        if camera is not None:
            found.setdefault(key, camera)
    if not cameras:
        camera = _camera(
            DEFAULT_KEY,
            "",
            webcam,
            stream=_text(webcam.get("streamUrl")),
            snapshot=_text(webcam.get("snapshotUrl")),
            octoprint_url=octoprint_url,
        )
        if camera is not None:
            found[DEFAULT_KEY] = camera
    return list(found.values())


def _key(name: str) -> str:
    """The key of a webcam, by nothing but its name there: a key is one camera for ever, with its shares and recordings,
    and which webcam is OctoPrint's default, or its only one, changes."""
    if name == CLASSIC:
        return DEFAULT_KEY
    key = key_of(name)
    return f"webcam-{key}" if key == DEFAULT_KEY else key


def _camera(
    key: str, name: str, flags: Mapping[str, object], *, stream: str, snapshot: str, octoprint_url: str
) -> CameraConfig | None:
    stream_address, snapshot_address = _address(stream, octoprint_url), _address(snapshot, octoprint_url)
    if stream_address is None and snapshot_address is None:
        return None
    return CameraConfig(
        key=key,
        name=name_of(name),
        stream=stream_address,
        snapshot=snapshot_address,
        rotate=270 if flags.get("rotate90") is True else 0,  # OctoPrint turns counter-clockwise
        flip_h=flags.get("flipH") is True,
        flip_v=flags.get("flipV") is True,
    )


def _address(url: str, octoprint_url: str) -> Address | None:
    if not url or len(url) > MAX_URL_CHARS:
        return None
    try:
        return Address.of(_as_seen_from_here(url, octoprint_url), base=octoprint_url)
    except ValueError:
        return None  # webrtc:, rtsp:, or a typing error: OctoPrint shows it to people in other ways


def _as_seen_from_here(url: str, octoprint_url: str) -> str:
    """What OctoPrint calls 127.0.0.1 is the machine that OctoPrint runs on."""
    parts = urlsplit(urljoin(octoprint_url.rstrip("/") + "/", url))
    octoprint = urlsplit(octoprint_url).hostname or ""
    if not is_loopback(parts.hostname or "") or is_loopback(octoprint):
        return url
    host = f"[{octoprint}]" if ":" in octoprint else octoprint
    user, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port is not None else ""
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}{port}"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
