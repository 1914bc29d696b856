"""Kimberlite in a notebook: what comes as a frame, against the embedded server."""

import pandas as pd
import pytest

from kit.core.errors import SetupError
from kit.kimberlite import KimberliteInputError, OffsetMismatchError, Position, QueryExecutionError
from kit.kimberlite.explore.explorer import connect
from kit.kimberlite.wire.protocol.codec import responses

from .kimberlitelite import KimberliteLab
from .smallkimberlite import SmallServer

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    lab = KimberliteLab(tmp_path_factory.mktemp("kimberlite"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def k(embedded):
    with embedded.explorer() as explorer:
        yield explorer


def test_a_result_has_the_declared_types_also_where_it_is_empty(k):
    full = k.query("SELECT * FROM accounts WHERE id <= $1", 3)
    empty = k.query("SELECT * FROM accounts WHERE id < $1", 0)
    assert len(full) == 3 and len(empty) == 0
    assert full.dtypes.tolist() == empty.dtypes.tolist()
    assert str(full["opened"].dtype) == "datetime64[ns, UTC]"
    assert full.attrs["truncated"] is False


def test_time_travel(k):
    k.execute("CREATE TABLE prices (id BIGINT PRIMARY KEY, price DECIMAL(10,2))")
    k.execute("INSERT INTO prices VALUES (1, 1.50)")
    bookmark = k.position()
    k.execute("UPDATE prices SET price = 2.25 WHERE id = 1")
    assert k.query("SELECT price FROM prices")["price"].tolist() == [2.25]
    assert k.query("SELECT price FROM prices", at=bookmark)["price"].tolist() == [1.5]


def test_errors_tell_code_and_statement(k):
    with pytest.raises(QueryExecutionError, match="nowhere") as caught:
        k.query("SELECT * FROM nowhere")
    assert caught.value.code == 8
    with pytest.raises(KimberliteInputError, match="changes"):
        k.query("DELETE FROM accounts")


def test_read(k):
    frame = k.read("claims", limit=5)
    assert list(frame.columns[:2]) == ["offset", "time"]
    assert frame["offset"].dtype == "uint64" and str(frame["time"].dtype) == "datetime64[ms, UTC]"
    assert frame.attrs["body"] == "json" and frame.attrs["time"] == "server"
    raw = k.read("claims", start=2, limit=3, body="bytes")
    assert list(raw.columns) == ["offset", "time", "body"] and raw["offset"].tolist() == [2, 3, 4]
    empty = k.read("claims", start=10**9, body="bytes")
    assert empty.dtypes.tolist() == raw.dtypes.tolist()
    assert len(k.read("claims")) == len(k["claims"]) == k.streams().set_index("name").loc["claims", "length"]
    assert k["claims"].tail(3)["offset"].tolist() == [len(k["claims"]) - n for n in (3, 2, 1)]
    assert k.read("claims", limit=3, times=False)["time"].isna().all()


def test_a_name_that_is_not_there_is_told_and_not_made(k):
    with pytest.raises(KimberliteInputError, match="'claims'"):
        k.read("claimss")
    assert "claimss" not in k.streams()["name"].tolist()


def test_append(k):
    rows = pd.DataFrame({"sensor": ["a", "b"], "value": [1.5, 2.5]})
    assert k.append("mine", rows)[["first", "count"]].values.tolist() == [[0, 2]]
    k.append("mine", [{"sensor": "c", "value": 3.5}, '{"sensor": "d"}', b'{"value": 4.5}'])
    frame = k.read("mine")
    assert frame["value"].tolist()[:3] == [1.5, 2.5, 3.5] and frame["offset"].tolist() == [0, 1, 2, 3, 4]
    assert frame["time"].is_monotonic_increasing and not frame["time"].isna().any()
    with pytest.raises(OffsetMismatchError):
        k.append("mine", b"x", expected_offset=Position(2))
    assert len(k.append("mine", [])) == 0


def test_many_events(k):
    bodies = pd.DataFrame({"body": [b"%06d" % n + bytes(100) for n in range(30_000)]})
    told = k.append("many", bodies)
    assert told["count"].sum() == 30_000 and len(told) > 1
    frame = k.read("many", body="bytes")
    assert frame["body"].tolist() == bodies["body"].tolist()
    assert frame["offset"].tolist() == list(range(30_000))


def test_the_times_of_many_appends_are_those_of_few(k):
    for n in range(300):
        k.append("one-by-one", [{"n": n}])
    whole = k.read("one-by-one")
    parts = pd.concat([k.read("one-by-one", start, 20) for start in range(0, 300, 20)], ignore_index=True)
    pd.testing.assert_frame_equal(whole, parts)
    assert whole["time"].is_monotonic_increasing and whole["time"].nunique() > 10


def test_columns_that_are_no_events(k):
    with pytest.raises(KimberliteInputError, match="no such column"):
        k.append("mine", pd.DataFrame({"a": [1]}), body="b")
    with pytest.raises(KimberliteInputError, match="missing"):
        k.append("mine", pd.DataFrame({"body": [b"a", None]}))
    with pytest.raises(KimberliteInputError, match="bytes"):
        k.append("mine", [1])


def test_listings(k):
    assert {"accounts", "invoices"} <= {*k.tables()["name"]}
    assert k.describe("accounts")["column"].tolist()[0] == "id"
    assert k.tables["accounts"].equals(k.describe("accounts"))
    assert "claims" in k._ipython_key_completions_()
    assert "accounts" in k.tables._ipython_key_completions_()
    assert k.server()["protocol"].tolist() == [5]


def test_metrics(k):
    frame = k.metrics()
    assert list(frame.columns[:4]) == ["time", "metric", "value", "unit"]
    assert (frame["metric"] == "kimberlite_requests_total").any()


def test_nothing_shows_the_key(k, embedded):
    assert (
        embedded.key not in repr(k) + k._repr_html_() + repr(k.client) + repr(k["claims"]) + k["claims"]._repr_html_()
    )


def test_live(k):
    with k.subscribe("logins") as subscription:
        k.append("logins", b"new")
        assert next(subscription).data == b"new"


def test_what_is_missing_is_named():
    with pytest.raises(SetupError, match="address= or variable KIMBERLITE_ADDRESS") as caught:
        connect({})
    assert "KIMBERLITE_TENANT" in str(caught.value) and "kit.Lab()" in str(caught.value)
    with pytest.raises(SetupError, match="not the number of a tenant"):
        connect({"KIMBERLITE_ADDRESS": "h:1", "KIMBERLITE_TENANT": "x"})


def test_a_result_that_the_real_server_cut_is_told():
    with SmallServer() as server:
        server.sql = lambda query: responses.Query(["n"], [(n,) for n in range(10_000)])
        server.hook = lambda request: (
            responses.ListTables([]) if type(request.payload).__name__ == "ListTables" else None
        )
        with connect({"KIMBERLITE_ADDRESS": server.address, "KIMBERLITE_TENANT": "1"}) as k:
            with pytest.warns(UserWarning, match="may be more"):
                frame = k.query("select n from t")
            assert frame.attrs["truncated"] is True
