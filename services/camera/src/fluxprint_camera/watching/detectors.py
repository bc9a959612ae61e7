"""Where failure detection plugs in: what a detector is, and how one is found."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from pydantic import JsonValue

if TYPE_CHECKING:
    from PIL import Image

GROUP = "fluxprint.detectors"


class DetectorRefused(Exception):
    """The detector can't be used; the message says what to change."""


class Detector(Protocol):
    """Says how much a picture looks like a failing print.

    It runs in a process of its own, that is ended when it takes too long: it may be slow to make, may keep state from
    one picture to the next (of all cameras mixed), may use several cores, and must not start processes.

    Attributes:
        name: of what decides: the detector, or the model that it loaded. At most 200 characters.
        version: of the same.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def score(self, image: "Image.Image") -> Mapping[str, float]:
        """How sure it is of each kind of failure, 0 to 1, by a name of at most 100 characters.

        Args:
            image: an RGB picture as it came from the camera, not rotated or flipped.
        """
        ...


#: An entry point of the group names one of these: a class, or a function. Raises: DetectorRefused
Factory = Callable[[Mapping[str, JsonValue]], Detector]


def load(name: str, options: Mapping[str, JsonValue]) -> Detector:
    """Make the detector of that name.

    Raises:
        DetectorRefused: there is none, it can't be imported, or it does not like its options.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join(sorted({entry.name for entry in entry_points(group=GROUP)})) or "none"
        raise DetectorRefused(f"CAMERA_DETECTOR: there is no detector named {name}; installed: {known}")
    try:
        factory: Factory = found[0].load()
        return factory(options)
    except DetectorRefused:
        raise
    except Exception as error:
        raise DetectorRefused(f"CAMERA_DETECTOR: {name} cannot be made: {error!r}") from error
