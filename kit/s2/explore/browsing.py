"""S2 as a tree to browse: basins, and the streams in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...live.browse.tree import Node

if TYPE_CHECKING:
    from .explorer import Basin, S2Explorer
    from .handle import Stream


def root(s2: S2Explorer) -> Node:
    """Return the account."""
    return Node("S2", "account", "s2", children=lambda: [_basin(s2, str(name)) for name in s2.basins()["name"]])


def _basin(s2: S2Explorer, name: str) -> Node:
    basin, code = s2[name], f"s2[{name!r}]"

    def streams() -> list[Node]:
        return [_stream(basin, str(stream), code) for stream in basin.streams()["name"]]

    return Node(name, "basin", code, children=streams)


def _stream(basin: Basin, name: str, code: str) -> Node:
    stream = basin[name]
    return Node(
        name,
        "stream",
        f"{code}[{name!r}]",
        details=lambda: _details(stream),
        read=lambda n: stream.tail(n),
        live=lambda: stream.live(),
        log=lambda: stream,
    )


def _details(stream: Stream) -> dict[str, Any]:
    from ...core.tables.moments import moment

    tail, config = stream.position(), stream.config()
    retention = config.retention_policy
    return {
        "records written": f"{tail.seq_num:,}",
        "last one": moment(tail.timestamp) if tail.timestamp else None,
        "storage class": config.storage_class,
        "kept for": f"{retention:,} s" if isinstance(retention, int) else retention,
    }
