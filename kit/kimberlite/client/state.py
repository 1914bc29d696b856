"""What the calls of a client share."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import faces
from ..types import TenantId
from .address import Settings
from .stream_registry import StreamRegistry


@dataclass(eq=False, repr=False)
class ClientState(faces.ClientState):
    """The server's address, the known streams, and the connection."""

    settings: Settings
    registry: StreamRegistry

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The server's capabilities beyond the protocol."""
        names: tuple[str, ...] = self.driver.capabilities
        return names

    def tenant(self, given: TenantId | int | None = None) -> int | None:
        """Return the tenant of a call: the one given, else the client's own."""
        return self.settings.tenant_id if given is None else TenantId(int(given)).value
