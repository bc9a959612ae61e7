"""One bridge, two printers: each with its own OctoPrint, at the same time."""

from pathlib import Path

from fluxprint_local.octoprint import OctoPrint
from support.bridge import running_bridge
from support.fake_cloud import FakeCloud
from support.fake_cloud_routes import running_cloud
from support.octoprint import running_octoprint, slow_gcode


class TestSeveralPrinters:
    async def test_they_print_side_by_side(self, octoprint: OctoPrint, tmp_path: Path) -> None:
        async with (
            running_octoprint(tmp_path / "second") as second_octoprint,
            running_cloud(FakeCloud(printers=2)) as cloud,
        ):
            places = list(zip(cloud.printer_ids, (octoprint, second_octoprint), strict=True))
            config = tmp_path / "printers.toml"
            config.write_text(
                "\n".join(
                    f'[[printers]]\nid = "{printer_id}"\noctoprint_url = "{place.url}"\n'
                    f'octoprint_api_key = "{place.keys.bridge}"'
                    for printer_id, place in places
                )
            )
            settings = {"BRIDGE_CONFIG": str(config)}
            async with running_bridge(tmp_path / "bridge", cloud_url=cloud.url, octoprint=None, settings=settings):
                attempts = [
                    await cloud.add_job(slow_gcode(2), printer_id=printer_id) for printer_id in cloud.printer_ids
                ]
                await cloud.until(lambda: all(attempt.state == "printing" for attempt in attempts))
                for attempt in attempts:
                    await cloud.until_state(attempt, "completed")
        for attempt, (_, place) in zip(attempts, places, strict=True):
            assert place.starts(attempt.path) == 1
