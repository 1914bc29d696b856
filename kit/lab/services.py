"""The services of the lab, and the interface of their servers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..core.errors import InputError
from .common.faults import FaultPlan

MODULES = {
    "s2": "kit.lab.s2",
    "kimberlite": "kit.lab.kimberlite",
    "synap": "kit.lab.synap",
    "claude": "kit.lab.claude",
    "amdahl": "kit.lab.amdahl",
}
"""One module for each service; its `create(house)` makes the server."""

NAMES = tuple(MODULES)


@dataclass(frozen=True, slots=True)
class House:
    """What a server is given: its folder, token and settings."""

    folder: Path
    token: str
    faults: FaultPlan
    demo: bool = True
    ports: dict[str, int] | None = None

    def port(self, service: str) -> int:
        """Return the port asked for, or 0 for any that is free."""
        return (self.ports or {}).get(service, 0)


class Server(Protocol):
    """An embedded server."""

    name: str

    async def start(self) -> None:
        """Listen, and return when the first request can be taken."""

    async def stop(self) -> None:
        """Stop listening and close everything; all acknowledged changes are on disk."""

    @property
    def url(self) -> str:
        """Where it listens."""

    @property
    def health(self) -> str:
        """A path below `url` that answers without a credential, or "" where only a connection can be tried."""

    def env(self) -> dict[str, str]:
        """Return the environment variables that point any client at it."""


def create(name: str, house: House) -> Server:
    """Return the server of one service, not yet listening."""
    make: Callable[[House], Server] = importlib.import_module(MODULES[name]).create
    return make(house)


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, checked; all services where none is given.

    >>> chosen(("amdahl",))
    ('amdahl',)
    """
    for name in names:
        if name not in MODULES:
            raise InputError(f"no service is called {name!r}", hint=f"the lab has: {', '.join(NAMES)}")
    return tuple(dict.fromkeys(names)) or NAMES
