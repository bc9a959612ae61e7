"""The newest telemetry of each printer on its way up: one slot a printer, newest wins, nobody waits."""

import asyncio

Telemetry = dict[str, object]


class TelemetrySlots:
    """Filled by the printers, emptied by the link."""

    def __init__(self) -> None:
        self._slots: dict[str, Telemetry] = {}
        self._filled = asyncio.Event()

    def put(self, printer_id: str, data: Telemetry) -> None:
        """Replace what waits for this printer."""
        self._slots[printer_id] = data
        self._filled.set()

    async def take(self) -> list[dict[str, object]]:
        """Wait for something and take all of it, as messages of the link."""
        await self._filled.wait()
        self._filled.clear()
        slots, self._slots = self._slots, {}
        return [{"type": "telemetry", "printer_id": printer, "data": data} for printer, data in slots.items()]
