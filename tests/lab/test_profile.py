"""`profile`: every figure is that of a plain loop over the records, however the pages are cut."""

import json
import random
import signal
import threading
import uuid
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from kit.core.errors import InputError, Interrupted
from kit.core.log.dataset import Piece
from kit.core.log.finding.scan import Scan
from kit.core.log.profiling.profile import Profile, profile

from .. import find as model

pytestmark = pytest.mark.lab


def plain(bodies):
    """Of each field: its types, and where it is seen first and last."""
    fields, forms = {}, Counter()

    def walk(name, value, at, depth):
        if value is None:
            return
        kind = {bool: "boolean", int: "integer", float: "number", str: "text", list: "list", dict: "object"}[
            type(value)
        ]
        told = fields.setdefault(name, {"types": Counter(), "values": [], "first": at, "last": at})
        told["types"][kind] += 1
        told["last"] = at
        told["values"].append(value)
        if kind == "object" and depth < 4:
            for key, one in value.items():
                walk(f"{name}.{key}", one, at, depth + 1)

    for at, body in enumerate(bodies):
        value, good = model.json_of(body)
        if good and isinstance(value, dict):
            forms["JSON object"] += 1
            for key, one in value.items():
                walk(key, one, at, 0)
        elif not body:
            forms["empty"] += 1
        else:
            forms["other JSON" if good else "text" if decodes(body) else "bytes"] += 1
    return fields, forms


def decodes(body):
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


class Bodies:
    """A source of bodies at hand, in pages cut anywhere."""

    label, position, unit, body, optional, refuse = "bodies", "n", "records", "body", (), InputError
    head = pa.schema([("n", pa.uint64()), ("time", pa.timestamp("ms", "UTC"))])

    def __init__(self, bodies, chance, step=1000):
        self.bodies, self.chance, self.step = bodies, chance, step

    def bounds(self):
        return 0, len(self.bodies)

    def start(self, given):
        return 0 if given == "earliest" else given

    until = start

    def pieces(self, first, stop):
        while first < stop:
            end = min(stop, first + self.chance.choice((1, 3, 50, 400)))
            times = pa.array([n * self.step for n in range(first, end)], pa.timestamp("ms", "UTC"))
            arrays = [pa.array(range(first, end), pa.uint64()), times, pa.array(self.bodies[first:end], pa.binary())]
            yield Piece(first, end, pa.RecordBatch.from_arrays(arrays, names=["n", "time", "body"]))
            first = end


@pytest.mark.parametrize("n", range(12))
def test_figures_are_those_of_a_plain_loop(n, seed):
    chance = random.Random(seed + n)
    bodies = [model.a_body(chance) for _ in range(400)]
    bodies = [one for one in bodies if b'"a":1,"a":2' not in one and not deep(one)]
    if n % 2:
        bodies = [
            json.dumps({"a": n % 5, "b": {"c": str(n % 3)}, **({"d": n / 2} if n % 3 else {})}).encode()
            for n in range(1500)
        ]
        bodies += [b'{"a": "x"}'] * 3
    told = profile(Bodies(bodies, chance))
    fields, forms = plain(bodies)
    assert told.forms == {form: count for form, count in told.forms.items() if forms[form] == count}
    assert sum(told.forms.values()) == len(bodies) == told.records and told.bytes == sum(map(len, bodies))
    frame = told.df.set_index("field")
    names = set(frame.index) - {"body"}
    assert names == set(fields) - {"body"}
    for name, expected in fields.items():
        if name == "body":
            continue
        row = frame.loc[name]
        assert row["present"] == sum(expected["types"].values()), name
        assert (row["first"], row["last"]) == (expected["first"], expected["last"]), name
        types = dict(expected["types"])
        if {"integer", "number"} <= set(types):
            types["number"] += types.pop("integer")
        assert {word.split()[0] for word in row["types"].split(", ")} == set(types), (name, row["types"], types)
        values = [one for one in expected["values"] if not isinstance(one, list | dict)]
        if values and not {"list", "object"} & set(types):
            distinct = len({(isinstance(one, bool), isinstance(one, str), one) for one in values if one == one})
            assert row["exact"] and abs(row["distinct"] - distinct) <= 1, (name, row["distinct"], distinct)


@pytest.mark.parametrize("n", range(8))
def test_types_are_those_of_the_values_whatever_column_holds_them(n, seed):
    """Empty objects, and what is nested too deep for a column, are columns of text; so are mixtures of all sorts."""
    chance = random.Random(seed + n)
    deep_object, deep_list, many = {"k": 1}, [1], {f"k{n}": {"x": 1, "y": 2, "z": 3} for n in range(400)}
    for _ in range(4):
        deep_object, deep_list = {"d": deep_object}, {"d": deep_list}
    sorts = [{}, {"x": {}}, {"x": 1}, "{}", "text", 1, 2**64, 0.5, True, [], [{}], None, deep_object, deep_list]
    bodies = []
    for _ in range(chance.randrange(1, 6)):
        few = chance.sample(sorts, chance.randrange(1, 3))
        rows = chance.choice((1, 2, 30, 1500))
        bodies += [json.dumps({"a": chance.choice(few), "b": {"c": chance.choice(few)}}).encode() for _ in range(rows)]
    if not n:
        bodies.append(json.dumps({"a": many}).encode())
    frame = profile(Bodies(bodies, chance)).df.set_index("field")
    fields, _ = plain(bodies)
    for name in set(fields) & set(frame.index):
        types = dict(fields[name]["types"])
        if {"integer", "number"} <= set(types):
            types["number"] += types.pop("integer")
        assert {word.split()[0] for word in frame.loc[name]["types"].split(", ")} == set(types), name
    assert len(frame) == min(len(fields), 512)


def deep(body):
    return body.count(b"{") > 30 or body.count(b"[") > 1000


def test_many_values_are_estimated_within_the_error_and_frequent_ones_found():
    chance = random.Random(5)
    bodies = [
        json.dumps({"id": n, "name": f"n{n}", "city": "Oslo" if n % 3 == 0 else f"c{chance.randrange(9000)}"}).encode()
        for n in range(60_000)
    ]
    frame = profile(Bodies(bodies, random.Random(1))).df.set_index("field")
    for name, expected in (("id", 60_000), ("name", 60_000), ("city", len({json.loads(b)["city"] for b in bodies}))):
        assert not frame.loc[name, "exact"] and abs(frame.loc[name, "distinct"] / expected - 1) < 0.06
    assert frame.loc["city", "top"].startswith("Oslo (33 %)") and (
        frame.loc["id", "min"],
        frame.loc["id", "max"],
    ) == (
        "0",
        "59,999",
    )


def test_changes_of_shape_are_found_where_they_are():
    rows = []
    for n in range(9000):
        row = {"id": n, "zip": n if n < 4000 else str(n)}
        if n >= 6000:
            row["discount"] = 1.5
        if n < 7000:
            row["city"] = "Oslo"
        rows.append(json.dumps(row).encode())
    drift = profile(Bodies(rows, random.Random(2))).drift
    assert drift[["position", "field"]].values.tolist() == [
        [3999, "zip"], [4000, "zip"], [6000, "discount"], [6999, "city"],
    ]  # fmt: skip
    assert drift["change"].tolist() == [
        "is integer for the last time",
        "text from here on too",
        "appears, number",
        "is seen last",
    ]
    assert drift["records"].tolist() == [4000, 5000, 3000, 7000] and drift["time"][2] == pd.Timestamp(
        6000, unit="s", tz="UTC"
    )


def test_an_object_after_a_text_is_an_object():
    told = profile(Bodies([b'{"a": "x"}', b'{"a": {"b": 1}}', b'{"a": [2]}'], random.Random(2)))
    found = {row.field: row.types for row in told.df.itertuples()}
    assert set(found["a"].replace(" 33 %", "").split(", ")) == {"text", "object", "list"} and found["a.b"] == "integer"


def test_a_text_that_is_json_in_utf_16_is_a_text():
    assert profile(Bodies([b"7\x00", b"7"], random.Random(1))).forms == {"text": 1, "other JSON": 1}


def test_hours_and_sizes():
    bodies = [b"x" * (n % 1000) for n in range(20_000)]
    told = profile(Bodies(bodies, random.Random(3), step=60_000))
    assert told.hours["records"].sum() == 20_000 and told.hours["records"].iloc[0] == 60
    assert told.hours["bytes"].sum() == told.bytes
    sizes = dict(told.sizes.values.tolist())
    assert sizes == {"min": 0, "mean": 499.5, "p50": 499, "p90": 899, "p99": 989, "max": 999}
    assert sum(count for _, _, count in told.histogram()) == 20_000
    large = profile(Bodies([b"x" * n for n in (10, 100_000, 300_000, 1_000_000)], random.Random(3)))
    sizes = dict(large.sizes.values.tolist())
    assert 98_000 <= sizes["p50"] <= 100_000 and sizes["max"] == 1_000_000


def test_a_sample_says_so(lab):
    bodies = [json.dumps({"n": n}).encode() for n in range(20_000)]
    told = profile(Bodies(bodies, random.Random(4)), sample=2500)
    assert told.records == 2500 and told.sampled == (2500, 20_000) and 1.9 < told.error < 2
    assert "a sample of 20,000, shares within 2.0 %" in repr(told) and not told.scan.complete
    assert told.df["first"][0] == 0 and told.df["last"][0] == 19_999
    with pytest.raises(InputError, match="sample=0"):
        profile(Bodies(bodies, random.Random(4)), sample=0)


def test_logs_of_every_service(lab):
    mark = uuid.uuid4().hex
    rows = [{"n": n, "mark": mark} for n in range(50)]
    lab.kimberlite.append(f"profile_{mark}", rows)
    lab.synap.client.stream.create(f"profile-{mark}")
    lab.synap[f"profile-{mark}"].publish(rows)
    logs = [lab.s2["demo-shop"]["orders"], lab.kimberlite[f"profile_{mark}"], lab.synap[f"profile-{mark}"]]
    for log in logs:
        told = log.profile()
        assert told.scan.complete and told.records == len(log.read()) and (told.df["missing"] == 0).all()
        assert told.hours["records"].sum() == told.records and "<svg" in told._repr_html_()
        assert json.loads(json.dumps(told.df.attrs["scan"]))["complete"] and Scan.of(told.df).records == told.records
    axes = logs[0].profile().plot()
    assert axes.get_figure().axes


def test_hostile_records_do_no_harm():
    marked = "<img src=x onerror=alert(1)>"
    bodies = [
        b"x" * 1_000_000,
        b"[" * 500_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"\0" * 99,
        b'{"a": 1',
        b'{"a": 1e999, "b": NaN}',
    ]
    bodies += [
        json.dumps({f"k{n}": n for n in range(700)}).encode(),
        json.dumps({marked: marked, "a": {marked: 2**70}}).encode(),
    ]
    bodies += [
        json.dumps({"a": ["\ud800", "\u202e"], "\ud800": "\ud800"}).encode(),
        b'{"a": "' + b"y" * 900_000 + b'"}',
    ]
    told = profile(Bodies(bodies[::-1], random.Random(6)))
    page = told._repr_html_()
    assert "<img" not in page and "&lt;img" in page and len(page) < 300_000
    assert told.records == len(bodies) and told.df.attrs["fields_left_out"] > 0


def test_an_interrupt_keeps_what_is_known():
    bodies = [json.dumps({"n": n}).encode() for n in range(30_000)]
    source = Bodies(bodies, random.Random(8))
    pieces = source.pieces

    def slow(first, stop):
        for number, piece in enumerate(pieces(first, stop)):
            if number == 20:
                threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGINT)).start()
                threading.Event().wait(1)
            yield piece

    source.pieces = slow
    with pytest.raises(Interrupted) as caught:
        profile(source)
    told = caught.value.partial
    assert isinstance(told, Profile) and 0 < told.records < 30_000 and told.scan.why == "interrupted"
    assert "not all of it: interrupted" in told.headline() and np.isfinite(told.df["missing"]).all()


def test_the_page_tells_the_years_and_is_no_mathematics():
    row = b'{"price":"$5 or $6"}'
    page = profile(Bodies([row] * 3, random.Random(7), step=500 * 86_400_000))._repr_html_()
    assert "1970-01-01 00:00 to 1972-09-27 00:00 UTC" in page
    assert "01-01 00:00 to 01-01 00:00 UTC" in profile(Bodies([row], random.Random(7)))._repr_html_()
    assert page.index("mathjax_ignore") < page.index("$5 or $6")
