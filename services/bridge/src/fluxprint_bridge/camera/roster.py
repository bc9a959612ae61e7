"""Which cameras the bridge has now, of all its printers."""

import asyncio
from collections.abc import Sequence

from fluxprint_bridge.camera.config import CameraConfig

#: A printer's id and the camera's key.
Place = tuple[str, str]


class Roster:
    """Filled by the settings and by what OctoPrint says; read by the uplink."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()  #: replaced by a new one whenever it is set
        self._of_printer: dict[str, Sequence[CameraConfig]] = {}

    def set(self, printer_id: str, cameras: Sequence[CameraConfig]) -> None:
        """All cameras of one printer."""
        if list(self._of_printer.get(printer_id, ())) != list(cameras):
            self._of_printer[printer_id] = cameras
            changed, self.changed = self.changed, asyncio.Event()
            changed.set()

    def cameras(self) -> dict[Place, CameraConfig]:
        """All cameras, in the order in which they came."""
        return {
            (printer_id, camera.key): camera for printer_id, cameras in self._of_printer.items() for camera in cameras
        }

    async def until_any(self) -> None:
        """Wait until there is a camera."""
        while not self.cameras():
            await self.changed.wait()
