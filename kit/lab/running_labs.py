"""The running labs of this user: listing them, choosing one that fits, measuring how fast they answer."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from ..core.errors import KitError
from ..core.http.exchange import Driver, Settings
from ..core.http.operations import Request, Timeouts, call
from ..core.secrets import hidden
from ..version import __version__
from . import lab_registry


def find(names: tuple[str, ...], demo: bool, path: str | os.PathLike[str] | None) -> dict[str, Any] | None:
    """Return a running lab of this user that fits the request and answers."""
    resolved = None if path is None else str(Path(path).resolve())
    for described in lab_registry.read():
        fits = (
            described["version"] == __version__
            and described["demo"] == demo
            and (resolved is None or described["path"] == resolved)
            and set(names) <= set(described["services"])
        )
        if fits and answers(described):
            return described
    return None


def answers(described: dict[str, Any]) -> bool:
    """Return whether the lab is there and knows its own token."""
    driver = control(described)
    try:
        return driver.run(call(Request("GET", "/status", op="lab"))).ok
    except KitError:
        return False
    finally:
        driver.close()


def control(described: dict[str, Any]) -> Driver:
    """Return a connection to the lab's control server."""
    return Driver(Settings("lab", described["control"], hidden(described["token"]), timeouts=Timeouts(2, 10)))


def latency(url: str, health: str) -> float | None:
    """Return milliseconds of one small exchange, on a connection that is open already where the protocol keeps one."""
    if health:
        driver = Driver(Settings("lab", url, timeouts=Timeouts(2, 5)))
        try:
            driver.run(call(Request("GET", health, op="status")))
            started = time.perf_counter()
            driver.run(call(Request("GET", health, op="status")))
            return (time.perf_counter() - started) * 1000
        except KitError:
            return None
        finally:
            driver.close()
    host, port = url.rsplit("//", 1)[-1].rsplit(":", 1)
    try:
        started = time.perf_counter()
        socket.create_connection((host, int(port)), timeout=2).close()
        return (time.perf_counter() - started) * 1000
    except OSError:
        return None
