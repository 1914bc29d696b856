"""Mistakes of a first hour: each is told where it is, and nothing is lost."""

import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

import kit
from kit.claude.wire import json_messages as wire
from kit.core import progress
from kit.core.errors import InputError, KitError, short_traceback
from kit.core.http.operations import Response
from kit.kimberlite.errors import KimberliteInputError
from kit.notebook.magic_text import order_of
from kit.notebook.magics import KitMagics
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
    with pytest.warns(UserWarning, match="nothing has subscribed"):
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
    with pytest.raises(KimberliteInputError, match="SQL statement is required"):
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


def test_a_read_that_is_interrupted_keeps_what_had_come(lab, monkeypatch):
    many = lab.s2["demo-shop"].create("many")
    many.append(pd.DataFrame({"body": [b"%0200d" % n for n in range(30_000)]}))
    for log in (many, lab.kimberlite["claims"], lab.synap[next(iter(lab.synap))]):
        whole = log.read()
        with monkeypatch.context() as patch:
            patch.setattr(progress, "bar", impatient(len(whole) // 2))
            with pytest.raises(KeyboardInterrupt) as caught:
                log.read()
        partial = caught.value.partial
        assert 0 < len(partial) <= len(whole)
        assert list(partial.columns) == list(whole.columns) and partial.iloc[:, 0].equals(whole.iloc[: len(partial), 0])
        (line,) = caught.value._render_traceback_()
        assert "sys.last_value.partial" in line


def impatient(rows):
    """A progress bar at which the user loses patience once so many records have come."""

    class Bar:
        def __init__(self, *_, **__):
            self.came = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, count):
            self.came += count
            if self.came >= rows:
                raise KeyboardInterrupt

    return Bar


def test_a_warning_shows_the_line_of_the_caller_also_from_a_magic(lab):
    shell = InteractiveShell()
    shell.register_magics(KitMagics)  # not as an extension, which would change asyncio for all tests that follow
    shell.user_ns["lab"] = lab
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        lab.amdahl.query("select * from interactions")
        shell.run_cell_magic("amdahl", "", "select * from interactions")
    assert [warning.filename for warning in told] == [__file__, __file__]


def test_what_is_cut_off_by_its_reader_ends_quietly():
    with subprocess.Popen(
        [sys.executable, "-m", "kit", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(60) == 0


def test_errors_show_no_line_that_is_not_the_callers():
    with pytest.raises(InputError) as caught:
        exec(compile("raise InputError('no')", "<ipython-input-1>", "exec"), {"InputError": InputError})
    mine, message = short_traceback(caught.value)  # and none of the line whose text is not at hand
    assert mine.startswith("test_first_hour.py, line") and message == "InputError: no"


def test_names_that_are_not_there_are_told_with_those_that_are_near(lab):
    for call, words in (
        (lambda: lab.s2["demo-shop"]["ordes"].read(), "did you mean 'orders'"),
        (lambda: lab.s2["demo-shop"]["ordes"].position(), "did you mean 'orders'"),
        (lambda: lab.s2["demo-shop"]["zzz"].append("x"), "streams\\(\\) lists"),
        (lambda: lab.s2["demo-shopp"]["orders"].read(), "did you mean 'demo-shop'"),
        (lambda: lab.s2["demo-shopp"].streams(), "did you mean 'demo-shop'"),
        (lambda: lab.kimberlite["claim"].read(), "did you mean 'claims'"),
        (lambda: lab.synap["zzz"].read(), "syn.streams"),
        (lambda: lab.synap[next(iter(lab.synap)) + "s"].read(), "did you mean"),
    ):
        with pytest.raises(KitError, match=words):
            call()


def test_a_key_that_is_called_like_the_position_gives_way_in_sql(lab):
    stream = lab.s2["demo-shop"].create("positions")
    stream.append([{"SEQ_NUM": 7, "Time": "x"}, {"SEQ_NUM": 8, "Time": "y"}])
    found = kit.sql("select * from t where seq_num >= 1", t=stream)
    assert found["SEQ_NUM"].tolist() == [8] and found["seq_num"].tolist() == [1] and found["Time"].tolist() == ["y"]
