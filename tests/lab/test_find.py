"""`find`: the records that are looked for, and a receipt that is true; see also `python -m tests.find`."""

import json
import pickle
import random
import signal
import threading
import time
import uuid

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import kit
from kit.core.errors import InputError, Interrupted
from kit.core.log.finding.jsonpath import question
from kit.core.log.finding.matching import Bytes
from kit.core.log.finding.scan import Scan
from kit.s2 import Record

from .. import find as model

pytestmark = pytest.mark.lab


def name():
    return f"find-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(name())


@pytest.fixture(scope="module")
def orders(basin):
    """Some pages of orders; every hundredth is from Oslo."""
    stream = basin.create("orders")
    cities = ("Oslo", "Bergen")
    rows = [{"id": n, "city": cities[n % 100 != 0], "total": n / 4, "at": {"zip": n % 10}} for n in range(40_000)]
    stream.append(pd.DataFrame(rows))
    return stream


def test_answers_and_receipts_are_those_of_a_plain_loop(quiet_lab, seed):
    with model.apart(quiet_lab) as own:
        model.campaign(80, seed, own)


def test_what_is_found_and_what_the_receipt_says(orders):
    found = orders.find("Oslo")
    assert found["id"].tolist() == list(range(0, 40_000, 100)) and found["seq_num"].tolist() == found["id"].tolist()
    assert list(found.columns) == list(orders.read(limit=5).columns)
    scan = found.kit.scan
    assert scan.complete and scan.records == 40_000 and (scan.begin, scan.end) == (0, 40_000)
    assert scan.bytes == sum(map(len, orders.read(body="bytes")["body"]))
    assert scan.times[0] == orders.read(limit=1)["time"][0] and "all there was" in str(scan)
    assert repr(found).endswith(str(scan)) and "40,000 records" in found._repr_html_()
    # What is made of it is a plain frame, and keeps nothing that could not be written.
    assert (
        type(found[found["total"] > 10]) is pd.DataFrame and json.loads(json.dumps(found.attrs["scan"]))["found"] == 400
    )
    assert pickle.loads(pickle.dumps(found)).attrs["scan"] == found.attrs["scan"]


def test_a_search_goes_on_where_it_stopped(orders):
    first = orders.find("Oslo", limit=50)
    assert not first.kit.scan.complete and first.kit.scan.next == first["seq_num"].max() + 1
    assert "goes on at 4,901" in repr(first) and first.kit.scan.records == 4901
    rest = orders.find("Oslo", resume=first)
    assert first["id"].tolist() + rest["id"].tolist() == list(range(0, 40_000, 100)) and rest.kit.scan.complete
    newest = orders.find("Oslo", newest_first=True, limit=3)
    assert newest["id"].tolist() == [39_900, 39_800, 39_700] and "before 39,700" in repr(newest)
    assert newest.kit.scan.records < 2_000  # so much less was read
    assert len(orders.find("Oslo", resume=newest)) == 397


def test_only_what_came_since_is_looked_at(basin):
    stream = basin.create(name())
    stream.append(["one needle", "hay"])
    first = stream.find("needle")
    stream.append(["hay", "two needles"])
    again = stream.find("needle", resume=first)
    assert again["body"].tolist() == ["two needles"] and again.kit.scan.records == 2


def test_filters_by_position_and_time_read_only_what_they_allow(orders):
    found = orders.find(where="seq_num >= 39990 and total > 0")
    assert found["id"].tolist() == list(range(39_990, 40_000)) and found.kit.scan.records == 10
    found = orders.find(where=pc.field("seq_num") < 5)
    assert len(found) == 5 and found.kit.scan.records == 5
    late = orders.read(limit=1)["time"][0] + pd.Timedelta("1h")
    assert orders.find("Oslo", where=pc.field("time") > late).kit.scan.records == 0


def test_every_kind_of_question(orders):
    expected = list(range(0, 40_000, 100))
    for asked in (
        {"where": "city = Oslo"},
        {"where": {"city": "Oslo"}},
        {"where": lambda rows: rows["city"] == "Oslo"},
        {"where": pc.field("city") == "Oslo"},
        {"where": ["city=Oslo", lambda rows: rows["total"] >= 0]},
        {"path": "$.city == 'Oslo'"},
        {"path": "$.city =~ '^Os' and not $.total < 0"},
        {"text": b'"city":"Oslo"'},
        {"text": ["Oslo", "Nowhere"]},
        {"text": "OSLO", "ignore_case": True},
    ):
        assert orders.find(**asked)["id"].tolist() == expected, asked
    assert orders.find(path="$.at.zip == 3", text="Oslo").empty
    both = orders.find(path="$.at.zip == 0", text="Oslo")
    assert both["id"].tolist() == expected


def test_rows_around_a_match(orders):
    found = orders.find(where="id = 300", context=2)
    assert found["id"].tolist() == [298, 299, 300, 301, 302] and found["match"].tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]
    assert orders.find(where="id >= 0 and id <= 1", context=1, limit=1)["id"].tolist() == [0]  # the next is a match too
    assert orders.find(where="id = 300", context=1, newest_first=True)["id"].tolist() == [301, 300, 299]


def test_headers(basin):
    stream = basin.create(name())
    stream.append([Record(b"1", headers=[(b"trace", b"a")]), Record(b"2"), Record(b"3", headers=[(b"trace", b"b")])])
    assert stream.find(header="trace")["body"].tolist() == ["1", "3"]
    assert stream.find(header={"trace": "b"})["body"].tolist() == ["3"]
    assert stream.find(header=("trace", b"c")).empty


def test_an_empty_answer_has_the_columns_of_the_log(orders):
    found = orders.find("nothing like it")
    assert found.empty and found.dtypes.to_dict() == orders.read(limit=10).dtypes.to_dict()
    with pytest.warns(UserWarning, match=r"no sampled record has 'citty'; did you mean 'city'\?"):
        orders.find(where="citty = Oslo")


def test_other_tables(orders):
    table = orders.find("Oslo", limit=2, into="arrow")
    assert table.schema.field("seq_num").type == pa.uint64() and b"limit=2" in table.schema.metadata[b"kit"]


def test_wrong_questions_are_refused_before_any_traffic(lab, basin):
    stream = basin["not-there"]
    for asked, words in (
        ({}, "needs something to look for"),
        ({"text": ""}, "cannot be looked for"),
        ({"text": 5}, "cannot be looked for"),
        ({"path": "city == 'Oslo'"}, "does not begin with"),
        ({"path": "$.city == Oslo"}, "put text in quotes: 'Oslo'"),
        ({"path": "$.city == "}, "cannot be understood at its end"),
        ({"path": "$.a ~ 3"}, "cannot be understood at '~ 3'"),
        ({"path": "$.a < true"}, "compares numbers or texts"),
        ({"path": "$.a =~ '['"}, "not a regex"),
        ({"path": "$.a =~ 5"}, "cannot be understood at '5'"),
        ({"path": "$.zip == 0150"}, "cannot be understood at '0150'"),
        ({"path": "(" * 100 + "$.a" + ")" * 100}, "brackets"),
        ({"where": 5}, "is not a filter"),
        ({"header": 5}, "is not a header"),
        ({"text": "a", "limit": -1}, "give a number from 0 up"),
        ({"text": "a", "context": -1}, "from 0 to"),
        ({"text": "a", "resume": {"a": 1}}, "is not a receipt"),
        ({"text": "a", "resume": Scan("s2 other/stream")}, "is the receipt of"),
        ({"text": "a", "start": 5, "resume": Scan(stream.source().label)}, "both say where to start"),
    ):
        before = len(kit.calls())
        with pytest.raises(InputError, match=words):
            stream.find(**asked)
        assert len(kit.calls()) == before, asked
    with pytest.raises(InputError, match="have no headers"):
        lab.synap["room"].find(header="x")


def test_hostile_records_do_no_harm(basin):
    stream = basin.create(name())
    bodies = [
        b"x" * 1_000_000,
        b"[" * 500_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a": 1',
        b"\0" * 1000,
        b"\xff\xfe" * 100,
        b'{"a": "' + b"y" * 900_000 + b'", "b": "needle"}',
        json.dumps({f"k{n}": n for n in range(5000)}).encode(),
        b'{"a": Infinity}',
        b'{"a": 1' + b"0" * 400 + b"}",
    ]
    for body in bodies:
        stream.append([body])
    assert stream.find(b"\0\0")["seq_num"].tolist() == [4]
    assert stream.find(path="$..b == 'needle'")["seq_num"].tolist() == [6]
    assert stream.find(path="$.a > 5")["seq_num"].tolist() == [8, 9]
    assert stream.find(path="$.k4999 == 4999")["seq_num"].tolist() == [7]
    assert stream.find(where="b = needle")["seq_num"].tolist() == [6]
    assert stream.find(where=lambda rows: rows["seq_num"] >= 0).kit.scan.found == len(bodies)


def test_an_interrupt_keeps_what_was_found(orders, quiet_lab):
    quiet_lab.faults("s2", "stall", path="*records*", after=2_400_000, seconds=3, count=1, skip=2)
    timer = threading.Timer(1.0, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    began = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        orders.find("Oslo", start=0)
    assert time.monotonic() - began < 4
    partial = caught.value.partial
    assert partial.kit.scan.why == "interrupted" and not partial.kit.scan.complete
    rest = orders.find("Oslo", resume=caught.value)
    assert [*partial["id"], *rest["id"]] == list(range(0, 40_000, 100))


def test_a_service_that_fails_leaves_what_was_found(orders, quiet_lab):
    quiet_lab.faults("s2", 403, path="*records*", count=1, skip=4)
    stream = orders
    with pytest.raises(kit.KitError, match=r"find\(\.\.\., resume=error\.partial\) continues") as caught:
        stream.find("Oslo", newest_first=True)
    partial = caught.value.partial
    assert len(partial) and not partial.kit.scan.complete
    rest = stream.find("Oslo", resume=partial)
    assert sorted([*partial["id"], *rest["id"]]) == list(range(0, 40_000, 100))


def test_many_logs_at_once(lab):
    basin = lab.s2.create_basin(name())
    for stream in ("eu/a", "eu/b", "us/a"):
        basin.create(stream).append([f"{stream} needle", "hay", {"n": 1, "stream": "key"}])
    found = basin.find("needle", prefix="eu/")
    assert found["stream"].tolist() == ["eu/a", "eu/b"] and found["body"].tolist() == ["eu/a needle", "eu/b needle"]
    assert found.kit.scan.records == 6 and list(found.kit.scan.parts) == ["eu/a", "eu/b"] and found.kit.scan.complete
    assert basin.find(path="$.n == 1")["body.stream"].tolist() == ["key"] * 3
    first = basin.find("needle", limit=1)
    assert first["stream"].tolist() == ["eu/a"] and not first.kit.scan.complete
    rest = basin.find("needle", resume=first)
    assert rest["stream"].tolist() == ["eu/b", "us/a"] and rest.kit.scan.complete
    basin["us/a"].append(["another needle"])
    assert basin.find("needle", resume=rest)["body"].tolist() == ["another needle"]
    with pytest.raises(InputError, match="has such a name"):
        basin.find("needle", prefix="asia")


def test_kimberlite_and_synap(lab):
    mark = uuid.uuid4().hex
    lab.kimberlite.append(f"find_{mark}", [{"n": n, "mark": mark} for n in range(5)])
    lab.synap.client.stream.create(f"find-{mark}")
    lab.synap[f"find-{mark}"].publish([{"n": n, "mark": mark} for n in range(5)])
    for log, many, column in (
        (lab.kimberlite[f"find_{mark}"], lab.kimberlite.find(mark, prefix="find_"), "stream"),
        (lab.synap[f"find-{mark}"], lab.synap.find(mark, prefix="find-"), "room"),
    ):
        found = log.find(path="$.n >= 3")
        assert found["n"].tolist() == [3, 4] and found["offset"].tolist() == [3, 4] and found.kit.scan.complete
        assert many["n"].tolist() == list(range(5)) and set(many[column]) == {log.name}


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("$.a", {"a": None}, True),
        ("$.a == null", {"a": None}, True),
        ("$.a == 1", {"a": True}, False),
        ("$.a == 1", {"a": 1.0}, True),
        ("$.a == 9007199254740993", {"a": 9007199254740992}, False),
        ("$.a != 1", {}, True),
        ("$.a < 1", {"a": "0"}, False),
        ("$['a b'].c[-1] = 'x'", {"a b": {"c": [1, "x"]}}, True),
        ("$.a[*].b in [3, 'x']", {"a": [{"b": 2}, {"b": "x"}]}, True),
        ("$..b > 3 || $.c", {"a": [[{"b": 4}]]}, True),
        ("!($.a) && $.b", {"b": 0}, True),
        ('$["\\u00e5"] == "\\n"', {"å": "\n"}, True),
        ("$['\\u00e5'] == '\"\\n\\''", {"å": "\"\n'"}, True),
        (r"$.a =~ '^\d+\.\d$'", {"a": "12.5"}, True),
        (r"$.a =~ '^\d+\.\d$'", {"a": "d+.d"}, False),
        (r'$.a =~ "\bit\"s\b"', {"a": 'so it"s'}, True),
    ],
)
def test_paths(text, value, holds):
    assert question(text).holds(value) is holds


def test_bytes_are_found_wherever_they_stand(seed):
    """By a rare byte, or where no byte is rare, or more often than not: always what `in` finds."""
    chance = random.Random(seed)
    for _ in range(300):
        letters = chance.choice((b"ab", b"abcdefgh", bytes(range(256))))
        bodies = [bytes(chance.choices(letters, k=chance.randrange(12))) for _ in range(chance.randrange(400))]
        needle = bytes(chance.choices(letters, k=chance.randrange(1, 5)))
        column = pa.array([b"xx", *bodies], pa.binary()).slice(1)
        assert Bytes(column).holding(needle).tolist() == [needle in body for body in bodies]
    late = [b"a" * 9000, *[b"z" * n + b"q" for n in range(600)], b"zq", b"q" * 600 + b"zzq"]
    assert Bytes(pa.array(late, pa.binary())).holding(b"zzq").tolist() == [b"zzq" in body for body in late]


def test_texts_of_a_room_are_shown_as_read_shows_them(lab):
    room = name()
    lab.synap.client.stream.create(room)
    lab.synap[room].publish(["one needle", 'a "needle" more', "hay"])
    found = lab.synap[room].find("needle")
    assert found["data"].tolist() == lab.synap[room].read(limit=2)["data"].tolist() == ["one needle", 'a "needle" more']


def test_a_stream_that_is_not_there_is_told_with_those_that_are_near(basin, orders):
    with pytest.raises(kit.KitError, match=r"did you mean 'orders'\?$"):
        basin["ordres"].find("x")
