"""The embedded Synap: values, queues and rooms on disk, topics nowhere; the official SDK uses it unmodified.

What differs from the service, on purpose:
- WebSockets work, and a subscriber that is too slow is disconnected instead of left in silence.
- A lost SynapRPC connection ends its subscriptions.
- After a restart messages keep their ids, queues their settings, keys their ends, and rooms their events.
- What is refused because the disk is full has not happened: nobody sees it, neither before nor after.
- Every port refuses those without the lab's key; as the password of the user `default` it opens SynapRPC, too.
- Answers are not packed; scripts, transactions, the other data types, partitioned topics and RESP3 are not there.

Faults fall on a path of HTTP, or on a command of SynapRPC: `lab.faults("synap", "reset", path="/rpc/QACK")`.
"""

from __future__ import annotations

from ..services import House
from .server import SynapServer


def create(house: House) -> SynapServer:
    """Return the server, not yet listening."""
    return SynapServer(house)
