"""`python -m fluxprint_camera.watching.worker`: the process that a detector runs in.

It ends with its standard input, and by an alarm of the system's when a picture takes too long: also when nobody is
there any more to end it.
"""

import math
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import BinaryIO

from fluxprint_camera.relay.unpacking import Unreadable, unpacked
from fluxprint_camera.watching.detectors import Detector, DetectorRefused, load
from fluxprint_camera.watching.messages import LENGTH, Begin, Ready, Scores

NICENESS = 10


def main() -> None:
    requests, answers = sys.stdin.buffer, _answers()
    os.nice(NICENESS)
    begin = Begin.model_validate_json(_read(requests))
    _end_within(begin.start_s)
    try:
        detector = load(begin.detector, begin.options)
        ready = Ready(name=str(detector.name)[:200], version=str(detector.version)[:200])
    except DetectorRefused as error:
        _write(answers, Ready(refused=str(error)[:2000]).model_dump_json())
        return
    signal.alarm(0)
    _write(answers, ready.model_dump_json())
    while jpeg := _read(requests):
        _end_within(begin.timeout_s)
        scores = _scores(detector, jpeg)
        signal.alarm(0)
        _write(answers, Scores.model_construct(scores=scores).model_dump_json())


def _scores(detector: Detector, jpeg: bytes) -> dict[str, float]:
    """None of what is no picture: that is a camera's fault, and no reason to begin anew."""
    try:
        with unpacked(jpeg) as opened:
            image = opened.convert("RGB")
    except Unreadable:
        return {}
    return {str(label): float(score) for label, score in detector.score(image).items()}


def _end_within(seconds: float) -> None:
    """Have the system end this process when it is at something for so long and longer: whoever waited has given up."""
    signal.alarm(math.ceil(2 * seconds) + 1)


def _answers() -> BinaryIO:
    """Where answers go. What the detector itself prints goes to the log instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _read(stream: BinaryIO) -> bytes:
    """The next message; nothing where there is none any more."""
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""


def _write(stream: BinaryIO, text: str) -> None:
    data = text.encode()
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


if __name__ == "__main__":
    with suppress(ValueError):  # the limit of whoever started it is lower
        memory = int(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
