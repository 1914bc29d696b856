"""Frames of nothing have the columns and the dtypes of full ones."""

import time

import pandas as pd
import pytest

import kit
from kit.amdahl import register_webhook

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def amdahl():
    with kit.Lab("amdahl", join=False) as lab:
        yield lab.amdahl


def assert_alike(empty, full, varying=()):
    assert len(empty) == 0 and len(full) > 0
    assert list(empty.columns) == list(full.columns)
    kinds, expected = empty.dtypes.drop(list(varying)), full.dtypes.drop(list(varying))
    pd.testing.assert_series_equal(kinds.astype(str), expected.astype(str))


def test_pages_that_none_are(amdahl):
    empty = amdahl.pages(q="zzzz")
    assert_alike(empty, amdahl.pages(), ["spec"])
    assert empty["tags"].tolist() == []


def test_webhooks_that_none_are(amdahl):
    empty = amdahl.webhooks()
    register_webhook(amdahl.client, url="http://127.0.0.1:9/", events=["session.completed"])
    assert_alike(empty, amdahl.webhooks())


def test_sessions_that_none_are(amdahl):
    empty = amdahl.sessions()
    amdahl.start("researcher", "x", seconds=0.1)
    deadline = time.monotonic() + 20
    while amdahl.sessions()["status"].tolist() != ["complete"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert_alike(empty, amdahl.sessions(), ["result"])
    assert str(empty["created_at"].dtype) == "datetime64[ms, UTC]"


def test_a_query_without_rows_keeps_lists_and_objects(amdahl):
    columns = "tags, [1, 2] as l, [[0.5]] as ll, {'a': 1, 'b': ['x'], 'c': {'d': true}} as s, [{'q': 1}] as ls"
    full = amdahl.query(f"select {columns} from interactions where len(tags) > 0 limit 5")
    assert_alike(amdahl.query(f"select {columns} from interactions where 1 = 0"), full)


@pytest.mark.parametrize("body", ["auto", "json", "text"])
@pytest.mark.parametrize("service", ["s2", "kimberlite", "synap"])
def test_no_records_have_the_columns_of_the_log(lab, service, body):
    log = {
        "s2": lambda: lab.s2["demo-shop"]["orders"],
        "kimberlite": lambda: lab.kimberlite["claims"],
        "synap": lambda: lab.synap["vans"],
    }[service]()
    assert_alike(log.read(limit=0, body=body), log.read(body=body))
