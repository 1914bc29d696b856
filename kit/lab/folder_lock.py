"""A folder that one lab has for itself: two on the same data would assign positions twice and send webhooks twice."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path

from ..core.errors import SetupError

_PATIENCE = 5.0
"""Seconds in which a lab that is about to end may release the folder."""
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)


async def hold(folder: Path) -> int:
    """Return a file that holds the folder until it is closed, or until this process ends, however that is."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    while not _locked(handle):
        if loop.time() > deadline:
            os.close(handle)
            raise SetupError(
                f"the folder {folder} is used by a lab that is running",
                hint="close that one first, or give another path=",
            )
        await asyncio.sleep(0.05)
    return handle


def _locked(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks must not keep a lab from starting.
        return error.errno not in _TAKEN
    return True
