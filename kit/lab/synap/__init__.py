"""The embedded Synap: values, queues and rooms on disk, topics in memory; the official SDK uses it unmodified.

Intentional differences from the service:
- WebSockets work, and a subscriber that is too slow is disconnected, where the service stops sending.
- A lost SynapRPC connection ends its subscriptions.
- After a restart messages keep their ids, queues their settings, keys their expiry, and rooms their events.
- A change that is refused because the disk is full is never visible, neither before nor after.
- Every port requires the lab's key; SynapRPC also accepts it as the password of the user `default`.
- Answers are not compressed; scripts, transactions, other data types, partitioned topics and RESP3 are missing.

Faults apply to a path of HTTP, or to a command of SynapRPC: `lab.faults("synap", "reset", path="/rpc/QACK")`.
"""

from __future__ import annotations

from ..services import House
from .server import SynapServer


def create(house: House) -> SynapServer:
    """Return the server, not yet listening."""
    return SynapServer(house)
