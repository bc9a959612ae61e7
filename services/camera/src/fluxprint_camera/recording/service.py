"""Rules about recordings that people ask for."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.recording import repository
from fluxprint_camera.recording.models import UNFINISHED, PictureRow, TimelapseRow, TimelapseState
from fluxprint_camera.recording.problems import TimelapseNotFailed, TimelapseUnfinished, TimelapseWithoutVideo
from fluxprint_common.database import ReadSession
from fluxprint_common.problems import NotFound


async def timelapse(session: ReadSession | AsyncSession, sight: Sight, timelapse_id: UUID) -> TimelapseRow:
    """A timelapse that may be seen. Raises: NotFound"""
    found = await repository.find(session, TimelapseRow, sight, timelapse_id)
    if found is None:
        raise NotFound
    return found


async def picture(session: ReadSession, sight: Sight, picture_id: UUID) -> PictureRow:
    """A picture that may be seen. Raises: NotFound"""
    found = await repository.find(session, PictureRow, sight, picture_id)
    if found is None:
        raise NotFound
    return found


async def with_video(session: ReadSession, sight: Sight, timelapse_id: UUID) -> TimelapseRow:
    """A timelapse that may be seen and has a video. Raises: NotFound, TimelapseUnfinished, TimelapseWithoutVideo"""
    found = await timelapse(session, sight, timelapse_id)
    if found.state in UNFINISHED:
        raise TimelapseUnfinished
    if found.state != TimelapseState.READY:
        raise TimelapseWithoutVideo
    return found


async def render_again(session: AsyncSession, sight: Sight, timelapse_id: UUID) -> TimelapseRow:
    """Put a failed timelapse in line once more. Raises: NotFound, TimelapseNotFailed"""
    found = await timelapse(session, sight, timelapse_id)
    if not await repository.begin_rendering_again(session, found.id):
        raise TimelapseNotFailed
    await session.refresh(found)
    return found


async def delete_timelapse(session: AsyncSession, sight: Sight, timelapse_id: UUID) -> None:
    """Forget a finished timelapse; its files are removed after the commit. Raises: NotFound, TimelapseUnfinished"""
    found = await timelapse(session, sight, timelapse_id)
    if found.state in UNFINISHED:
        raise TimelapseUnfinished
    await repository.remove(session, TimelapseRow, [found.id])
