"""`into=` on verbs that give frames: the table that a frame was made of, or one made of it."""

import json

import pandas as pd
import pyarrow as pa
import pytest

from kit.core.errors import InputError
from kit.core.tables.frames import to_frame
from kit.core.tables.into import GivesFrames

TABLE = pa.table({"few": pa.array([1, None], pa.int8()), "nested": pa.array([[1], None], pa.list_(pa.int16()))})


class Shop(GivesFrames):
    def rows(self) -> "pd.DataFrame":
        """Return the rows."""
        return to_frame(TABLE, {"seen": 2})

    def named(self) -> "pd.DataFrame":
        """Return the rows under other names."""
        frame = self.rows()
        frame.columns = ["a", 7]
        return frame

    def other(self) -> "pd.DataFrame":
        """Return a frame that is not the last one made."""
        frame = pd.DataFrame({"few": ["x", "y"], "nested": [1.5, 2.5]})
        self.rows()
        return frame

    def longer(self) -> "pd.DataFrame":
        """Return one more row, in the same frame."""
        frame = self.rows()
        frame.loc[2] = [5, [6]]
        return frame

    def narrower(self) -> "pd.DataFrame":
        """Return some of the columns, in the same frame."""
        frame = self.rows()
        del frame["nested"]
        return frame


def test_the_table_that_a_frame_was_made_of_is_handed_on():
    table = Shop().rows(into="arrow")
    assert table.equals(TABLE) and json.loads(table.schema.metadata[b"kit"]) == {"seen": 2}
    assert Shop().named(into="arrow").equals(TABLE.rename_columns(["a", "7"]))


@pytest.mark.parametrize(
    ("verb", "columns"),
    [
        ("other", {"few": ["x", "y"], "nested": [1.5, 2.5]}),
        ("longer", {"few": [1, None, 5], "nested": [[1], None, [6]]}),
        ("narrower", {"few": [1, None]}),
    ],
)
def test_another_frame_is_made_into_a_table(verb, columns):
    table = getattr(Shop(), verb)(into="arrow")
    assert {name: table.column(name).to_pylist() for name in columns} == columns
    assert (table.num_columns, table.num_rows) == (len(columns), len(next(iter(columns.values()))))


def test_frames_are_the_default_and_other_words_are_refused():
    assert isinstance(Shop().rows(), pd.DataFrame)
    with pytest.raises(InputError, match="into='table' is not a library"):
        Shop().rows(into="table")
