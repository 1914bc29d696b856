"""The time of each row of a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..core.tables.frames import times
from ..core.tables.moments import in_unit
from .columns import plain_array

Numbers = npt.NDArray[np.int64]


class Moments:
    """Times of rows, from a column of times: the named one, or the first that there is."""

    def __init__(self, column: str | None) -> None:
        self.column = column

    def of(self, table: pa.Table) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the time of each row in microseconds, and which rows have one."""
        name = self.column or _first_of_times(table)
        if name is None or name not in table.column_names:
            return np.zeros(table.num_rows, np.int64), np.zeros(table.num_rows, bool)
        array = plain_array(table.column(name))
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            array = plain_array(times(array.cast(pa.string())))
        elif pa.types.is_date(array.type):
            array = array.cast(pa.timestamp("us"))
        if not pa.types.is_timestamp(array.type):
            return np.zeros(table.num_rows, np.int64), np.zeros(table.num_rows, bool)
        array = plain_array(in_unit(array, "us"))
        known = np.asarray(array.is_valid().to_numpy(zero_copy_only=False))
        return np.asarray(pc.fill_null(array.cast(pa.int64()), 0)), known


def _first_of_times(table: pa.Table) -> str | None:
    fields = [field for field in table.schema if pa.types.is_timestamp(field.type)]
    with_zone = [field for field in fields if field.type.tz is not None]
    return str((with_zone or fields)[0].name) if fields else None
