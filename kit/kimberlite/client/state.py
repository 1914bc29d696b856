"""What the calls of a client share."""

from __future__ import annotations

from dataclasses import dataclass

from ...core import faces
from ..types import TenantId, tenant_number
from ..wire.extensions import Extensions
from .address import Settings
from .stream_registry import StreamRegistry


@dataclass(eq=False, repr=False)
class ClientState(faces.ClientState):
    """The server's address, the known streams, and the connection."""

    settings: Settings
    registry: StreamRegistry

    @property
    def extensions(self) -> Extensions:
        """What the server does beyond the protocol."""
        extensions: Extensions = self.driver.extensions
        return extensions

    def tenant(self, given: TenantId | int | None = None) -> int | None:
        """Return the tenant of a call: the one given, else the client's own."""
        return self.settings.tenant_id if given is None else tenant_number(given)
