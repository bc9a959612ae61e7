"""Files that a bridge brings to OctoPrint before their turn: where they are, and when they are gone."""

import httpx

from fluxprint_local.octoprint import OctoPrint
from support.fake_cloud import Attempt, FakeCloud
from support.octoprint import contents, copies_of
from support.queue import eventually

#: OctoPrint loses the hash of a file that is stored while its folder is read anew: it is not asked all the time.
LISTED_EVERY_S = 0.3


async def staged(octoprint: OctoPrint, content: bytes) -> str:
    """Where the content is, once it is there, once."""

    async def there() -> list[str]:
        return await copies_of(octoprint, content)

    (path,) = await eventually(there, within_s=30, every_s=LISTED_EVERY_S)
    return path


async def staged_for_its_bed(cloud: FakeCloud, octoprint: OctoPrint, content: bytes) -> tuple[Attempt, str]:
    """A job that waits for the bed of an idle printer, and where its file is. The bridge has perhaps yet to note it."""
    cloud.beds[cloud.printer_id] = "occupied"
    attempt = await cloud.add_job(content)
    return attempt, await staged(octoprint, content)


async def prints_from(path: str, cloud: FakeCloud, octoprint: OctoPrint, attempt: Attempt) -> None:
    """It prints from there, once, when the bed is clear."""
    await cloud.clear_bed()
    await cloud.until_state(attempt, "completed")
    assert (attempt.path, octoprint.starts(path)) == (path, 1)


async def until_gone(octoprint: OctoPrint, path: str) -> None:
    async def gone() -> bool:
        try:
            return path not in await contents(octoprint)
        except httpx.HTTPStatusError:
            return False  # it answers 500 while a folder goes

    await eventually(gone, within_s=30, every_s=LISTED_EVERY_S)
