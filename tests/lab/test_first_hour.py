"""Mistakes of a first hour: each is told where it is, and nothing is lost."""

import warnings

import numpy as np
import pandas as pd
import pytest

import kit
from kit.claude import wire
from kit.core.errors import InputError, KitError
from kit.core.steps import Response
from kit.kimberlite.errors import KimberliteInputError
from kit.magic_text import order_of
from kit.s2.errors import S2InputError
from kit.synap import SynapInputError


@pytest.fixture(scope="module")
def lab():
    with kit.Lab(join=False) as lab:
        yield lab


def test_a_misspelt_queue_is_no_topic(lab):
    syn = lab.synap
    depth = syn.client.queue.stats("jobs")["depth"]
    with pytest.raises(SynapInputError, match="did you mean 'jobs'"):
        syn.publish("jbos", pd.DataFrame({"a": [1]}))
    assert syn.client.queue.stats("jobs")["depth"] == depth
    with pytest.warns(UserWarning, match="nobody has subscribed"):
        syn.publish("news.today", "hello")
    assert syn.publish("jbos", "on purpose", kind="topic")["subscribers"].tolist() == [0]


def test_things_are_listed_and_asked_for_by_name(lab):
    assert "demo-shop" in list(lab.s2) and "demo-shop" in lab.s2 and "demo-shopp" not in lab.s2
    assert "orders" in list(lab.s2["demo-shop"]) and "orders" in lab.s2["demo-shop"]
    assert "claims" in lab.kimberlite and "accounts" in lab.kimberlite.tables
    assert set(lab.synap) == set(lab.synap.client.stream.list())
    assert set(lab.synap.queues) == set(lab.synap.client.queue.list())
    with pytest.raises(InputError, match="nothing to follow"):
        kit.Feed(lab.s2)


def test_amdahl_takes_limits_and_no_parameters(lab):
    with pytest.raises(InputError, match="no parameters"):
        lab.amdahl.query("select * from interactions where channel = $1", "chat")
    with pytest.raises(InputError, match="limit="):
        lab.amdahl.query("select 1 as a", limit=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = lab.amdahl.query("select * from interactions", limit=np.int64(3))
    assert len(frame) == 3 and frame.attrs["truncated"]
    with pytest.warns(UserWarning, match="cut at 1,000 rows"):
        lab.amdahl.query("select * from interactions")


def test_a_syntax_error_is_one(lab):
    for text in ("SELEC * FROM accounts", "\u00a1hola!"):
        with pytest.raises(KitError) as caught:
            lab.kimberlite.query(text)
        assert "changes something" not in str(caught.value)
    with pytest.raises(KimberliteInputError, match="statement of SQL is needed"):
        lab.kimberlite.query("")
    with pytest.raises(KimberliteInputError, match="execute"):
        lab.kimberlite.query("-- now\nDELETE FROM accounts")


def test_metrics_say_what_they_are_of(lab):
    with pytest.raises(S2InputError, match="basin="):
        lab.s2.metrics("storage")
    with pytest.raises(S2InputError, match="active-basins"):
        lab.s2.metrics("storag")


def test_what_ran_and_failed_is_not_said_to_have_not_run():
    for status in (429, 503):
        detail = b'{"detail":"Process exited with code 1\\nStderr: overloaded"}'
        error = wire.refusal(Response(status, {}, detail), "complete")
        assert "nothing ran" not in str(error) and "ran, and failed" in str(error)
    limited = wire.refusal(Response(429, {}, b'{"detail":"Rate limit exceeded."}'), "complete")
    assert "nothing ran" in str(limited)


@pytest.mark.parametrize("line", ["res", "-o res", "--out res", "-o  res "])
def test_other_ways_to_name_a_result_are_told_ours(line):
    with pytest.raises(InputError, match="res << keeps"):
        order_of("kql", line, "select 1", ("at",))
