"""The matches of a search, as a frame that carries the search's receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from ...html import text
from ...tables.frames import BodyMode, expand_bodies, to_frame
from ...tables.into import remember
from ..dataset import Ranged, View
from .scan import Scan

MATCH = "match"
"""The column that distinguishes matches from the rows around them."""


class Found(pd.DataFrame):
    """The rows that a search found; its repr shows the receipt. Operations on it give a plain DataFrame."""

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{Scan.of(self)}" if "scan" in self.attrs else super().__repr__()

    def _repr_html_(self) -> str | None:
        shown: str | None = super()._repr_html_()  # type: ignore[misc]
        return shown and f"{shown}{text(Scan.of(self))}" if "scan" in self.attrs else shown


class Searched(Protocol):
    """What a frame of matches needs to know of its search."""

    source: Ranged

    @property
    def scan(self) -> Scan:
        """The receipt."""

    @property
    def found(self) -> Sequence[tuple[pa.RecordBatch, Any]]:
        """Pages of rows, and which of them are matches."""

    @property
    def context(self) -> int:
        """How many rows around each match were asked for."""


def framed(
    hunts: Sequence[Searched],
    body: BodyMode,
    types: Mapping[str, pa.DataType],
    column: str | None = None,
    names: Sequence[str] = (),
    scan: Scan | None = None,
) -> pd.DataFrame:
    """Return the matches of several searches as one frame, with the receipt; `column` holds `names`."""
    source = hunts[0].source
    schema = pa.schema([*source.head, (source.body, pa.binary())])
    pages = [(page, mask, n) for n, hunt in enumerate(hunts) for page, mask in hunt.found]
    table = pa.Table.from_batches(
        [page.cast(schema) if page.schema != schema else page for page, _, _ in pages], schema
    )
    head: dict[str, Any] = {}
    if column is not None:
        counts = [sum(page.num_rows for page, _ in hunt.found) for hunt in hunts]
        head[column] = pa.array(np.repeat(np.array(names, object), counts), pa.string())
    for field in source.head:
        values = table.column(field.name)
        if field.name not in source.optional or any(len(chunk.flatten()) for chunk in values.chunks):
            head[field.name] = values
    if any(hunt.context for hunt in hunts):
        masks = [mask for _, mask, _ in pages]
        head[MATCH] = pa.array(np.concatenate(masks) if masks else np.zeros(0, bool))
    if not table.num_rows and (scan or hunts[0].scan).complete:
        shown = View(source, "earliest", None, None, body, types or None, strict=True)
        fields = [*(pa.field(name, column.type) for name, column in head.items()), *shown.schema]
        made = pa.schema(list({field.name: field for field in fields}.values())).empty_table()
        return _with_receipt(made, {"body": shown.shape.mode}, scan or hunts[0].scan)
    taken = {*source.head.names, *head}
    bodies = expand_bodies(table.column(source.body), body, taken=taken, raw=source.body, types=types)
    columns = dict(bodies.columns)
    if bodies.mode == "text":
        columns[source.body] = source.as_text(columns[source.body])
    return _with_receipt(pa.table({**head, **columns}), bodies.attrs, scan or hunts[0].scan)


def _with_receipt(table: pa.Table, attrs: Mapping[str, Any], scan: Scan) -> pd.DataFrame:
    frame = Found(to_frame(table))
    frame.attrs.update({**attrs, "scan": scan.as_dict()})
    remember(frame, table)
    return frame
