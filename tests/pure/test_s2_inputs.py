"""Columns as appends: the very bytes that objects give, cut where the service wants it."""

import datetime
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.s2 import AppendInput, Batching, Record, S2ClientError, append_record_batches, metered_bytes
from kit.s2.wire.inputs import encode_inputs
from kit.s2.wire.messages import encode_input, input_of

U64 = st.sampled_from([0, 1, 127, 128, 2**32, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
BYTES = st.binary(max_size=20) | st.sampled_from([b"", b"x" * 127, b"x" * 128, b"y" * 17_000])
RECORD = st.builds(Record, BYTES, st.lists(st.tuples(BYTES, BYTES), max_size=3), st.none() | U64)


def bodies_of(found) -> list[bytes]:
    return [record.body for one in found for record in input_of(one.payload).records]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(RECORD, max_size=12),
    # Without a time that a batch waits for more: on a slow machine it would be over between two records.
    st.builds(
        Batching, st.integers(1, 5), st.sampled_from([8, 100, 20_000, 1048576]), st.just(datetime.timedelta(hours=1))
    ),
    st.none() | st.integers(0, 2**40),
    st.none() | st.text(max_size=5),
    st.sets(st.sampled_from(["timestamps", "headers"])),
)
def test_the_same_bytes_as_from_objects(records, batching, match_seq_num, fencing_token, given_columns):
    for record in records:
        if "timestamps" not in given_columns:
            record.timestamp = None
        if "headers" not in given_columns:
            record.headers = []
    found = list(
        encode_inputs(
            pa.array([record.body for record in records], pa.binary()),
            timestamps=[record.timestamp for record in records] if "timestamps" in given_columns else None,
            headers=[record.headers for record in records] if "headers" in given_columns else None,
            batching=batching,
            match_seq_num=match_seq_num,
            fencing_token=fencing_token,
        )
    )
    following = match_seq_num
    expected = []
    for batch in append_record_batches(records, batching=batching):
        payload = encode_input(AppendInput(batch, following, fencing_token))
        expected.append((payload, len(batch), metered_bytes(batch)))
        following = None if following is None else following + len(batch)
    assert found == expected


def test_many_records():
    raw = [os.urandom(n % 400) for n in range(40_000)]
    headers = [[(b"n", b"%d" % n)] * (n % 3) for n in range(40_000)]
    times = np.arange(40_000, dtype=np.uint64)
    found = list(encode_inputs(raw, timestamps=times, headers=headers, match_seq_num=5))
    assert [one.records for one in found] == [1000] * 40
    assert bodies_of(found) == raw
    appends = [input_of(one.payload) for one in found]
    assert [append.match_seq_num for append in appends] == list(range(5, 40_005, 1000))
    assert [record.timestamp for append in appends for record in append.records] == list(range(40_000))
    assert [record.headers for append in appends for record in append.records] == headers
    assert sum(one.metered_bytes for one in found) == sum(
        8 + len(body) + sum(2 + len(name) + len(value) for name, value in pairs)
        for body, pairs in zip(raw, headers, strict=True)
    )


def test_large_records():
    raw = [bytes(1_048_568), b"", bytes(600_000), bytes(500_000), bytes(10)] * 6
    found = list(encode_inputs(raw))
    assert bodies_of(found) == raw
    assert all(one.metered_bytes <= 1048576 for one in found)
    assert [one.records for one in found[:4]] == [1, 2, 2, 1]


def test_no_more_is_laid_out_at_once_than_a_few_appends():
    """A log of many gigabytes is appended in the memory of a few appends."""
    column, before = pa.array([bytes(1_048_568)] * 64), pa.total_allocated_bytes()
    for _ in encode_inputs(column):
        assert pa.total_allocated_bytes() - before < 20 * 1_048_576


@pytest.mark.parametrize(
    "bodies",
    [
        pa.array([b"a", b""]),
        pa.array([b"a", b""], pa.large_binary()),
        pa.array(["a", ""]),
        pa.array(["a", ""], pa.large_string()),
        pa.chunked_array([["a"], [""]]),
        pa.array([b"x", b"a", b"", b"y"]).slice(1, 2),
        pa.array(["a", ""]).dictionary_encode(),
        pd.Series(["a", ""]),
        pd.Series([b"a", b""]),
        pd.Series([b"a", b""], dtype=pd.ArrowDtype(pa.binary())),
        ["a", ""],
        np.array([b"a", b""], dtype=object),
    ],
)
def test_kinds_of_bodies(bodies):
    assert bodies_of(encode_inputs(bodies)) == [b"a", b""]


AT = 1_785_000_000_123
WHEN = datetime.datetime.fromtimestamp(AT / 1000, datetime.UTC)


@pytest.mark.parametrize(
    "timestamps",
    [
        [AT, None],
        pa.array([AT, None]),
        pa.array([AT, None], pa.uint64()),
        pa.array([AT * 1000 + 999, None], pa.timestamp("us", "UTC")),
        pa.array([AT, None], pa.timestamp("ms")),
        [WHEN, None],
        pd.Series([pd.Timestamp(WHEN), pd.NaT]),
        pd.Series([pd.Timestamp(WHEN).tz_convert("Asia/Tokyo"), pd.NaT]),
        pd.Series([float(AT), float("nan")]),
        pd.Series([AT, None], dtype="UInt64"),
        pa.chunked_array([pa.array([AT]), pa.array([None], pa.int64())]),
    ],
)
def test_kinds_of_timestamps(timestamps):
    (found,) = encode_inputs(["a", "b"], timestamps=timestamps)
    assert [record.timestamp for record in input_of(found.payload).records] == [AT, None]


def test_finer_timestamps_are_rounded_down_and_those_before_1970_refused_with_their_row():
    fine = pa.array([0, 1_999_999], pa.timestamp("ns", "UTC"))
    (found,) = encode_inputs(["a", "b"], timestamps=fine)
    assert [record.timestamp for record in input_of(found.payload).records] == [0, 1]
    for unit, zone in (("us", "UTC"), ("ns", None), ("s", "Europe/Oslo")):
        early = pa.array([5, None, -1], pa.timestamp(unit, zone))
        with pytest.raises(S2ClientError, match=r"that of record 2 is (1969-12-31|1970-01-01)"):
            encode_inputs(["a", "b", "c"], timestamps=early)
    with pytest.raises(S2ClientError, match="that of record 1 is -7"):
        encode_inputs(["a", "b"], timestamps=pa.array([1, -7]))


def test_the_largest_timestamp():
    (found,) = encode_inputs(["a"], timestamps=np.array([2**64 - 1], np.uint64))
    assert input_of(found.payload).records[0].timestamp == 2**64 - 1


PAIRS = pa.list_(pa.struct([("k", pa.string()), ("v", pa.binary())]))


@pytest.mark.parametrize(
    "headers",
    [
        [[(b"k", b"v"), (b"", b"")], None, []],
        [[{"name": b"k", "value": b"v"}, {"name": b"", "value": b""}], [], []],
        pa.array([[("k", b"v"), ("", b"")], None, []], PAIRS),
        pa.array([[], [("k", b"v"), ("", b"")], None, []], PAIRS).slice(1),
        pa.array([[("k", b"v"), ("", b"")], [], []], pa.large_list(PAIRS.value_type)),
        pa.array([[("k", "v"), ("", "")], None, []], pa.map_(pa.string(), pa.string())),
        pa.chunked_array([pa.array([[("k", b"v"), ("", b"")]], PAIRS), pa.array([[], None], PAIRS)]),
    ],
)
def test_kinds_of_headers(headers):
    (found,) = encode_inputs(["a", "b", ""], headers=headers)
    assert [record.headers for record in input_of(found.payload).records] == [[(b"k", b"v"), (b"", b"")], [], []]
    assert found.metered_bytes == 3 * 8 + 2 + 4 + 2


def test_nothing_to_append():
    assert list(encode_inputs([])) == []
    assert list(encode_inputs(pa.array([], pa.binary()), timestamps=[], headers=[])) == []


@pytest.mark.parametrize(
    ("bodies", "options", "message"),
    [
        (["a", None], {}, "body 1 is missing"),
        ("abc", {}, "one str is given"),
        (b"abc", {}, "one bytes is given"),
        ({"a": 1}, {}, "one dict is given"),
        (5, {}, "bodies cannot be a column"),
        (["\ud800"], {}, "bodies cannot be a column.*surrogates"),
        (["a"], {"timestamps": ["1"]}, "timestamps must be.*not string"),
        (["a"], {"timestamps": [b"1"]}, "timestamps must be.*not binary"),
        (["a"], {"timestamps": np.array([True])}, "timestamps must be.*not bool"),
        (["a"], {"timestamps": pa.array(["1"]).dictionary_encode()}, "timestamps must be.*not string"),
        (["a"], {"timestamps": [pd.NaT, datetime.datetime(2020, 1, 1)]}, "timestamps cannot be a column"),
        (["a"], {"headers": [[("\ud800", b"v")]]}, "headers cannot be a column.*surrogates"),
        (["a"], {"headers": [[(b"k", None)]]}, 'value of header 0 is missing\n  use b"" for an empty one'),
        ([1, 2], {}, "bodies must be binary or text"),
        ([object()], {}, "bodies cannot be a column"),
        ([b"a", bytes(1048569)], {}, "record 1 has 1,048,577 metered bytes; a record has at most 1,048,576"),
        (["a"], {"headers": [[(b"k", bytes(1048576))]]}, "record 0 has 1,048,588 metered bytes"),
        (["a"], {"timestamps": [1, 2]}, "2 timestamps for 1 bodies"),
        (["a"], {"timestamps": [-1]}, "timestamps"),
        (["a"], {"timestamps": pa.array([-1])}, "timestamps must be times, or whole numbers"),
        (["a"], {"timestamps": [1.5]}, "timestamps must be"),
        (["a", "b"], {"timestamps": [1, float("nan")]}, "timestamps cannot be a column"),
        (["a"], {"timestamps": ["now"]}, "timestamps must be"),
        (["a"], {"timestamps": [2**64]}, "timestamps"),
        (["a"], {"timestamps": [datetime.datetime(1960, 1, 1, tzinfo=datetime.UTC)]}, "timestamps must be"),
        (["a"], {"headers": [[], []]}, "2 lists of headers for 1 bodies"),
        (["a"], {"headers": pa.array([5])}, "headers must be lists of names and values, not int64"),
        (["a"], {"headers": pa.array([[5]])}, "headers must be lists of names and values"),
        (
            ["a"],
            {"headers": pa.array([[{"name": b"k", "value": b"v", "more": b"w"}]])},
            "headers must be lists of names and values",
        ),
        (["a"], {"headers": [5]}, "headers cannot be a column"),
        (["a"], {"headers": [[(None, b"v")]]}, "the name of header 0 is missing"),
        (
            ["a"],
            {"headers": pa.array([[(1, 2)]], pa.list_(pa.struct([("a", pa.int64()), ("b", pa.int64())])))},
            "names of headers must be",
        ),
        (["a"], {"match_seq_num": -1}, "match_seq_num must be 0 to"),
        (["a"], {"fencing_token": "x" * 37}, "at most 36 bytes"),
        (["a"], {"batching": Batching(max_records=1001)}, "max_records must be 1 to 1000"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_the_first_append(bodies, options, message):
    with pytest.raises(S2ClientError, match=message):
        encode_inputs(bodies, **options)
