"""Processes of this machine."""

import psutil


def is_alive(pid: int) -> bool:
    """Whether a process runs, and is not only waiting for its end to be noticed."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
