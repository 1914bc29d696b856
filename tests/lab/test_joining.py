"""SQL over frames and handles: what is read, what is not, and that no answer depends on how much was."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.core import calls
from kit.core.errors import InputError, KitError
from kit.core.log.dataset import MissingRange, View
from kit.engines.joining import QueryError, query
from tests.pace import slowness

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def basin(lab):
    return lab.s2.create_basin(f"join-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def stream(basin):
    return basin.create(f"s/{uuid.uuid4().hex}")


@pytest.fixture
def orders(lab):
    return lab.s2["demo-shop"]["orders"]


def sql_and_bytes(text, **options):
    calls.forget()
    found = kit.sql(text, **options)
    return found, int(kit.calls()["bytes_in"].sum())


def test_a_handle_answers_as_its_frame_does(orders):
    frame = orders.read()
    text = "select city, count(*) as n, sum(total) as total, max(time) as last from t where paid group by 1 order by 1"
    left, right = kit.sql(text, t=orders), kit.sql(text, t=frame)
    assert left["n"].tolist() == right["n"].tolist() and left["last"].tolist() == right["last"].tolist()
    assert (left["total"] - right["total"]).abs().max() < 1e-6
    assert {str(kind) for kind in left.dtypes} == {"str", "int64", "float64", "datetime64[ms, UTC]"}


def test_names_of_the_caller_are_tables_and_others_are_not_read(orders, stream):
    few = pd.DataFrame({"customer": orders.read(limit=3)["customer"]})
    calls.forget()
    found = kit.sql("select count(*) as n from few")
    assert found["n"].tolist() == [3] and kit.calls().empty
    joined = kit.sql("select count(*) as n from orders join few using (customer)")
    assert joined["n"][0] >= 3
    del few, stream
    with pytest.raises(QueryError, match="tables: "):
        kit.sql("select * from not_there")


def test_what_a_query_does_not_ask_for_is_not_read(orders):
    times = orders.read()["time"]
    _, whole = sql_and_bytes("select count(*) as n from t", t=orders)
    _, sampled = sql_and_bytes("select count(*) as n from t where seq_num < 0", t=orders)
    found, some = sql_and_bytes("select count(*) as n from t where seq_num between 2000 and 2009", t=orders)
    assert found["n"].tolist() == [10]
    assert some - sampled < (whole - sampled) / 50
    found, some = sql_and_bytes("select count(*) as n from t where time >= $1", t=orders, params=[times[4900]])
    assert found["n"].tolist() == [int((times >= times[4900]).sum())]
    assert some - sampled < (whole - sampled) / 20
    found, some = sql_and_bytes("select count(*) as n from t where time < now() - interval 200 days", t=orders)
    assert found["n"].tolist() == [0] and some - sampled < (whole - sampled) / 20


@pytest.mark.parametrize(
    "where",
    [
        "seq_num in (3, 4999, 77)",
        "seq_num = 10 or seq_num > 4990",
        "not (seq_num < 4000)",
        "seq_num between 10 and 20 and city = 'Graz'",
        "seq_num + 1 < 4",
        "seq_num >= 2.5 and seq_num < 7.5",
        "seq_num is null or seq_num < 3",
        "time is not null and seq_num <> 5 and seq_num < 9",
        "seq_num > 9007199254740993",
        "seq_num < 10 and seq_num > 20",
        "time > (select min(time) + interval 1 hour from t) and amount > 3",
    ],
)
def test_conditions_of_every_form_find_the_same_rows(orders, where):
    frame = orders.read()
    text = f"select seq_num from t where {where} order by 1"
    assert kit.sql(text, t=orders)["seq_num"].tolist() == kit.sql(text, t=frame)["seq_num"].tolist()


def test_records_that_drift_are_counted_as_they_are(stream):
    stream.append([{"a": n} for n in range(3000)])
    stream.append([{"a": 0.5, "new": 1}])
    stream.append([*({"a": n} for n in range(3000)), b"no object"])
    found = kit.sql("select sum(a) as total, count(*) as n, count(body) as raw from t", t=stream)
    assert found.iloc[0].tolist() == [2 * sum(range(3000)) + 0.5, 6002, stream.read()["body"].notna().sum()]
    with pytest.warns(UserWarning, match="2 records|1 records"):
        table = stream.arrow().read_all()
    kept = [body for body in table["body"].to_pylist() if body is not None]
    assert kept == [b'{"a":0.5,"new":1}', b"no object"]
    assert table.schema.field("a").type == pa.int64() and table["a"].null_count == 2
    typed = stream.arrow(types={"a": pa.float64(), "new": pa.int64()}).read_all()
    assert typed["a"].null_count == 1 and typed["new"].drop_null().to_pylist() == [1]


def test_arrow_streams_of_a_handle_and_of_an_answer(orders):
    reader = kit.sql("select seq_num, city from t where seq_num < 100", t=orders, arrow=True)
    assert reader.schema.names == ["seq_num", "city"]
    assert reader.read_all()["seq_num"].to_pylist() == list(range(100))
    assert pa.RecordBatchReader.from_stream(orders).read_all().num_rows == 5000
    assert query("select $1 as a", {}, ["x"], {}).df()["a"].tolist() == ["x"]


def test_a_query_that_stops_early_reads_no_more(basin):
    big = basin.create("early")
    big.append([b"x" * 100_000 for _ in range(400)])
    _, some = sql_and_bytes("select seq_num from t limit 5", t=big.arrow(limit=1000, body="bytes"))
    assert some < 20_000_000


def test_wrong_tables_and_queries_are_told(orders):
    calls.forget()
    with pytest.raises(InputError, match="x= is int"):
        kit.sql("select 1", x=5)
    with pytest.raises(InputError, match="no query"):
        kit.sql("  ")
    with pytest.raises(QueryError, match="syntax"):
        kit.sql("selec", t=orders)
    assert kit.calls().empty
    with pytest.raises(QueryError, match="nope"):
        kit.sql("select nope from t", t=orders)


def test_a_stream_that_is_deleted_midway_says_what_is_missing(basin):
    gone = basin.create("gone")
    gone.append([b"y" * 50_000 for _ in range(600)])
    reader = View(gone.source()).reader()
    first = reader.read_next_batch()
    basin.delete("gone")
    with pytest.raises(KitError, match=r"(?s)(records|not read: records) \d+ to 599 of s2") as told:
        reader.read_all()
    assert first.num_rows and told.value.missing[1] == 600


def test_records_trimmed_while_they_are_read_are_missed(stream):
    stream.append([{"n": n} for n in range(2000)])
    view = View(stream.source())
    assert view.range == (0, 2000)
    stream.trim(1500)
    for _ in range(200):
        if stream.read(limit=1)["seq_num"][0] == 1500:
            break
        threading.Event().wait(0.02)
    with pytest.raises(MissingRange, match="records 0 to 1499"):
        view.reader().read_all()
    assert kit.sql("select min(seq_num) as low, count(*) as n from t", t=stream).iloc[0].tolist() == [1500, 500]


def test_kimberlite_and_synap_handles_join_with_s2(lab, orders):
    k, syn = lab.kimberlite, lab.synap
    k.append("join-claims", [{"id": n, "sum": n / 2} for n in range(2000)])
    claims = k["join-claims"]
    syn.client.stream.create("join-room")
    syn.publish("join-room", [{"id": n, "note": f"n{n}"} for n in range(500)], "room")
    room = syn["join-room"]
    frame = kit.sql(
        'select o.seq_num, c.sum, r.note from orders o join claims c on o.seq_num = c."offset"'
        ' join room r on r."body.id" = o.seq_num where o.seq_num < 20 order by 1'
    )
    assert frame["seq_num"].tolist() == list(range(20)) and frame["note"][3] == "n3" and frame["sum"][3] == 1.5
    for handle in (claims, room, orders):
        table = handle.arrow().read_all()
        read = handle.read()
        assert [name for name in table.column_names if name in read.columns] == list(read.columns)
        assert pa.array(read[read.columns[0]]).cast(table[0].type).to_pylist() == table[0].to_pylist()
    assert kit.sql('select count(*) as n from t where "offset" >= 1990', t=claims)["n"].tolist() == [10]
    when = claims.read(times=True)["time"].max()
    assert kit.sql("select count(*) as n from t where time > $1", t=claims, params=[when])["n"].tolist() == [0]
    assert kit.sql("select count(*) as n from t where time <= $1", t=claims, params=[when])["n"].tolist() == [2000]
    seen = lab.amdahl.arrow("select channel, count(*) as n from interactions group by 1")
    assert kit.sql("select sum(n) as n from seen", seen=seen)["n"].tolist() == [50_000]


def test_text_of_rooms_is_shown_as_read_shows_it(lab):
    lab.synap.client.stream.create("join-texts")
    lab.synap.publish("join-texts", ["a", "b"], "room")
    room = lab.synap["join-texts"]
    assert room.arrow().read_all()["data"].to_pylist() == room.read()["data"].tolist() == ["a", "b"]


def test_scans_and_feeds_are_opened_only_when_they_are_named(orders, tmp_path):
    scan = kit.scan(tmp_path / "not-there-yet")
    assert kit.sql("select 1 as a")["a"].tolist() == [1]
    with pytest.raises(KitError, match="no Parquet files"):
        kit.sql("select * from scan")
    scan = orders.to_parquet(tmp_path / "o", limit=100)
    assert len(scan) == 100
    assert kit.sql("select count(*) as n from scan where seq_num >= $least", params={"least": 90})["n"].tolist() == [10]
    with kit.Feed(orders, start=4990) as feed:
        feed.wait(n=10, timeout=20)
        assert kit.sql("select count(*) as n, min(seq_num) as low from feed").iloc[0].tolist() == [10, 4990]


# One that comes while a weak reference is forgotten is told as ignored, though the query ends; one between the making of
# a socket and its keeping leaves it to the garbage collector, which closes it and says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_is_an_interrupt_wherever_it_meets_the_engine(lab):
    lab.s2.create_basin("interrupted-basin")
    stream = lab.s2["interrupted-basin"].create("long")
    stream.append(pd.DataFrame({"a": range(20_000), "b": ["x" * 50] * 20_000}))
    slow = "select count(*), max(a.b) from s a, s b where a.a < b.a and a.b <= b.b and hash(a.a + b.a) % 7 = 3"

    def again():
        for _ in range(20):
            kit.sql(slow, s=stream)

    for n in range(40):  # many begin before there is an engine; a query by itself takes seconds
        at = []

        def interrupt(at=at):
            at.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(0.01 * n, interrupt)

        def interrupted(timer=timer):
            timer.start()
            again()

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert time.monotonic() - at[0] < slowness()
        timer.join()
    assert kit.sql("select count(*) as n from s", s=stream)["n"].tolist() == [20_000]


LOADING = """
import os, signal, sys, threading
import kit.engines.joining

def hook(event, args):
    if event == "import" and args[:2] == ("_duckdb", None):
        threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT)).start()

sys.addaudithook(hook)
try:
    while True:
        kit.sql("select 1 as a")
except KeyboardInterrupt:
    print("interrupted")
print(kit.sql("select 2 as a")["a"].tolist())
"""


def test_an_interrupt_while_the_engine_is_loaded_leaves_it_whole():
    # In the middle of it, an interrupt ended the process, or left a module in which nothing worked any more.
    children = [
        subprocess.Popen([sys.executable, "-c", LOADING, str(delay)], stdout=subprocess.PIPE, text=True)
        for delay in (0.0, 0.005, 0.01, 0.02)
    ]
    told = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0] * 4, told
    assert told == ["interrupted\n[2]\n"] * 4
