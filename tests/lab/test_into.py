"""`into=` on every verb that gives a frame, and feeds, views and results as Arrow streams."""

import inspect

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import kit
from kit.core.errors import InputError

pytestmark = pytest.mark.lab

VERBS = {
    "S2 basins": lambda lab: (lab.s2.basins, ()),
    "S2 streams": lambda lab: (lab.s2["demo-shop"].streams, ()),
    "S2 read": lambda lab: (lab.s2["demo-shop"]["orders"].read, (0, 20)),
    "S2 tail": lambda lab: (lab.s2["demo-shop"]["orders"].tail, (3,)),
    "S2 head": lambda lab: (lab.s2["demo-shop"]["orders"].head, (3,)),
    "S2 nothing": lambda lab: (lab.s2["demo-shop"]["orders"].read, (0, 0)),
    "Kimberlite query": lambda lab: (lab.kimberlite.query, ("select * from accounts order by 1 limit 5",)),
    "Kimberlite streams": lambda lab: (lab.kimberlite.streams, ()),
    "Kimberlite tables": lambda lab: (lab.kimberlite.tables, ()),
    "Kimberlite read": lambda lab: (lab.kimberlite["claims"].read, (0, 20)),
    "Synap queues": lambda lab: (lab.synap.queues, ()),
    "Synap keys": lambda lab: (lab.synap.keys, ()),
    "Synap read": lambda lab: (lab.synap["vans"].read, (0, 20)),
    "Claude usage": lambda lab: (lab.claude.usage, ()),
    "Amdahl query": lambda lab: (lab.amdahl.query, ("select * from interactions order by 1 limit 20",)),
    "Amdahl pages": lambda lab: (lab.amdahl.pages, ()),
    "lab status": lambda lab: (lab.status, ()),
    "calls": lambda lab: (kit.calls, ()),
}
MOVING = {"lab status", "calls", "Synap queues", "Kimberlite streams"}


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_gives_what_is_wanted(lab, name):
    verb, given = VERBS[name](lab)
    frame = verb(*given)
    table, polars = verb(*given, into="arrow"), verb(*given, into="polars")
    assert isinstance(frame, pd.DataFrame) and isinstance(table, pa.Table) and isinstance(polars, pl.DataFrame)
    assert list(frame.columns) == table.column_names == polars.columns
    if name not in MOVING:
        assert len(frame) == table.num_rows == polars.height
        from kit.core.tables.frames import to_frame

        pd.testing.assert_frame_equal(to_frame(table), frame, check_dtype=False)
        assert polars.equals(pl.from_arrow(table), null_equal=True)
    if frame.attrs:
        assert b"kit" in table.schema.metadata
    assert inspect.signature(verb).parameters["into"].default == "pandas"


def test_every_verb_of_frames_takes_it(lab):
    without = []
    for thing in (
        *(lab, lab.s2, lab.s2["demo-shop"], lab.s2["demo-shop"]["orders"]),
        *(lab.kimberlite, lab.kimberlite["claims"], lab.synap, lab.synap["vans"], lab.claude, lab.amdahl),
    ):
        for name in dir(type(thing)):
            verb = getattr(type(thing), name)
            if name.startswith("_") or not inspect.isfunction(verb):
                continue
            found = inspect.signature(verb)
            if found.return_annotation == "pd.DataFrame" and "into" not in found.parameters:
                without.append(f"{type(thing).__name__}.{name}")
    assert not without


def test_what_cannot_be_given_is_refused_before_anything_is_asked(lab):
    before = len(kit.calls())
    with pytest.raises(InputError, match=r"into='dask'[\s\S]*pandas, polars, arrow"):
        lab.s2["demo-shop"]["orders"].read(into="dask")
    assert len(kit.calls()) == before


def test_sql_gives_what_is_wanted(lab):
    orders = lab.s2["demo-shop"]["orders"]
    text = "select count(*) as n, sum(seq_num) as s from orders"
    frame, table = kit.sql(text, orders=orders), kit.sql(text, orders=orders, into="arrow")
    assert isinstance(table, pa.Table) and table.to_pylist() == frame.to_dict("records")
    assert kit.sql(text, orders=orders, into="polars").to_dicts() == table.to_pylist()
    with pytest.raises(InputError, match="into="):
        kit.sql(text, orders=orders, into="csv")


def test_feeds_and_views_are_streams_of_arrow(lab):
    orders = lab.s2["demo-shop"]["orders"]
    with kit.Feed(orders, start="tail-5") as feed:
        feed.wait(n=5)
        for thing in (feed, kit.LiveView(feed)):
            for _ in range(2):
                table = pa.table(thing)
                assert table.num_rows == 5 and table.column_names == list(feed.df.columns)
            assert pl.DataFrame(thing).height == 5
        assert feed.tail(2, into="polars").height == 2
        assert kit.sql("select count(*) as n from feed")["n"].tolist() == [5]


def test_rows_of_the_plain_client_are_a_stream_of_arrow(lab):
    result = lab.kimberlite.client.query("SELECT id, city, active FROM accounts ORDER BY id LIMIT 4")
    table = pa.table(result)
    assert table.column_names == result.columns
    assert [tuple(row.values()) for row in table.to_pylist()] == list(result.rows)
    assert pl.DataFrame(result).height == 4
    nothing = pa.table(lab.kimberlite.client.query("SELECT id, city FROM accounts WHERE id < 0"))
    assert (nothing.column_names, nothing.num_rows) == (["id", "city"], 0)
