"""Places for connections that cost something for as long as they are open, whatever comes over them."""

from collections import Counter
from contextlib import AbstractContextManager
from uuid import UUID

from fluxprint_camera.relay.problems import TooManyViewers
from fluxprint_camera.viewers.watcher import Watcher


class Places:
    """Of this process.

    Args:
        of_person, of_organisation: so many connections each may hold open.
    """

    def __init__(self, *, of_person: int, of_organisation: int) -> None:
        self._of_person = of_person
        self._of_organisation = of_organisation
        self._taken: Counter[UUID] = Counter()

    def take(self, watcher: Watcher) -> AbstractContextManager[None]:
        """Take a place at once; it is given back where the block ends. Raises: TooManyViewers"""
        of_person = self._of_person if watcher.max_viewers is None else watcher.max_viewers
        for holder, at_most in ((watcher.person_id, of_person), (watcher.organisation_id, self._of_organisation)):
            if self._taken[holder] >= at_most:
                raise TooManyViewers(f"{at_most} connections are open, as many as may be; close one first.")
        holders = watcher.person_id, watcher.organisation_id
        self._taken.update(holders)
        return _Place(self._taken, holders)


class _Place:
    """One that is taken, for hours perhaps: it is small."""

    __slots__ = ("_holders", "_taken")

    def __init__(self, taken: Counter[UUID], holders: tuple[UUID, UUID]) -> None:
        self._taken = taken
        self._holders = holders

    def __enter__(self) -> None:
        """It was taken already."""

    def __exit__(self, *_error: object) -> None:
        self._taken.subtract(self._holders)
        for holder in self._holders:
            if not self._taken[holder]:
                del self._taken[holder]
