"""Kimberlite as a tree to browse: streams and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...live.browse.tree import Node

if TYPE_CHECKING:
    from .explorer import Kimberlite


def root(k: Kimberlite) -> Node:
    """Return the tenant."""
    return Node(
        "Kimberlite",
        "tenant",
        "k",
        children=lambda: [
            Node("streams", "", "k.streams()", children=lambda: _streams(k)),
            Node("tables", "", "k.tables()", children=lambda: _tables(k)),
        ],
    )


def _streams(k: Kimberlite) -> list[Node]:
    return [_stream(k, row) for row in k.streams().to_dict("records")]


def _stream(k: Kimberlite, row: dict[Any, Any]) -> Node:
    name = str(row["name"])
    details = {"events": f"{row['length']:,}", "data class": row["data_class"], "made": row["created"]}
    return Node(
        name,
        "stream",
        f"k[{name!r}]",
        details=lambda: details,
        read=lambda n: k[name].tail(n),
        live=lambda: k.live(name),
        log=lambda: k[name],
    )


def _tables(k: Kimberlite) -> list[Node]:
    return [_table(k, str(name)) for name in k.tables()["name"]]


def _table(k: Kimberlite, name: str) -> Node:
    quoted = '"' + name.replace('"', '""') + '"'
    everything = f"SELECT * FROM {quoted}"  # noqa: S608 - the name is quoted

    def columns() -> dict[str, Any]:
        return {str(row["column"]): row["type"] for row in k.describe(name).to_dict("records")}

    return Node(
        name,
        "table",
        f"k.query({everything!r})",
        details=columns,
        read=lambda n: k.query(f"{everything} LIMIT {int(n)}"),
    )
