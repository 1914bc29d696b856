"""What the calls of a client share."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core import faces
from .settings import Settings


@dataclass(eq=False, repr=False)
class ClientState(faces.ClientState):
    """The server's address, the connections, and the queues that are known to exist."""

    settings: Settings
    known_queues: set[str] = field(default_factory=set)


class Part:
    """The calls of a client for one kind of resource, over the client's connections."""

    _state: ClientState

    def __init__(self, state: ClientState) -> None:
        self._state = state
