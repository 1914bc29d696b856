"""Processes that run code of clients, mainly SQL: their environment and their limits."""

from __future__ import annotations

import os
import threading
import time

OUT_OF_MEMORY = 77
"""The exit status of a process that exceeded its memory."""
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "APPDATA")
_PASSED_PREFIXES = ("PYTHON", "LD_", "DYLD_", "VIRTUAL_ENV", "KIT_LAB_DEBUG")


def environment() -> dict[str, str]:
    """Return what such a process needs to start; credentials that may be among the variables stay here."""
    return {n: v for n, v in os.environ.items() if n in _PASSED_ON or n.startswith(_PASSED_PREFIXES)}


def resident() -> int:
    """Return bytes of memory this process holds; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def watch_memory(busy: threading.Event, limit: int) -> None:
    """End this process when it holds more, for as long as it is busy; for a thread of its own."""
    while busy.wait():
        if resident() > limit:
            os._exit(OUT_OF_MEMORY)
        time.sleep(0.02)
