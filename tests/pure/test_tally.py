"""What a profile counts of one field."""

import numpy as np
import pyarrow as pa

from kit.core.log.finding.scan import Scan
from kit.core.log.profiling.profile import Profile
from kit.core.log.profiling.tally import Field, Places
from kit.core.log.source import Piece, Ranged


class Numbers(Ranged):
    """A log of which only pages are made."""

    position = "offset"
    bounds = pieces = recipe = None


def row_of(*pages):
    """Return the row of the one field of pages of bodies."""
    profile, at = Profile(Numbers(), Scan("numbers"), None), 0
    for page in pages:
        positions = pa.array(range(at, at + len(page)), pa.uint64())
        batch = pa.RecordBatch.from_arrays([positions, pa.array(page, pa.binary())], names=["offset", "body"])
        profile.add(Piece(at, at + len(page), batch), "body")
        at += len(page)
    [row] = profile.df.to_dict("records")
    return row


def test_the_bounds_of_numbers_are_the_same_however_the_pages_are_cut():
    bodies = [b'{"a":-1}', b'{"a":9}', b'{"a":5.5}', b'{"a":7.5}', b'{"a":6.5}']
    for cut in range(6):
        row = row_of(bodies[:cut], bodies[cut:])
        assert (row["types"], float(row["min"]), float(row["max"])) == ("number", -1, 9)
    row = row_of([b'{"a":1}', b'{"a":2}'], [b'{"a":"z"}', b'{"a":"y"}', b'{"a":"x"}'], [b'{"a":0.5}', b'{"a":0.6}'])
    assert row["types"] == "number 57 %, text 43 %" and (row["min"], row["max"]) == ("0.5", "2")


def test_true_is_not_one_and_false_is_not_zero():
    field = Field("x")
    for kind, values in (("boolean", [True, True, False]), ("integer", [1, 0, 0, 0]), ("number", [1.0, 2.5])):
        field.add(kind, pa.array(values), Places(np.arange(len(values)), None))
    assert field.distinct.exact and field.distinct.count == 5
    counted = field.frequent.top(9)
    assert [value for value, _ in counted if value is True or value is False] == [True, False]
    assert [(repr(value), count) for value, count in counted] == [
        ("0", 3), ("1", 2), ("True", 2), ("2.5", 1), ("False", 1),
    ]  # fmt: skip


def test_values_of_the_same_bits_are_different_values():
    pages = [b'{"a":18446744073709551615}', b'{"a":7}'], [b'{"a":-1}', b'{"a":4602678819172646912}'], [b'{"a":0.5}']
    assert row_of(*pages)["distinct"] == 5
    assert row_of([b'{"a":1152921504606846976}'], [b'{"a":1152921504606846976.0}', b'{"a":0.25}'])["distinct"] == 2
