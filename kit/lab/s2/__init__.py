"""The embedded S2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..services import House, Server

__all__ = ["create"]


def create(house: House) -> Server:
    """The server, not yet listening."""
    from .server import S2Server

    return S2Server(house)
