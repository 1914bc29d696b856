"""Clients and servers that are broken on purpose: what must be found, or the simulation is worth nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def broken(how: str) -> Iterator[None]:
    yield
