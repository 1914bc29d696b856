"""What a feed keeps, counts and tells; with sources of the test's own, no service."""

import asyncio
import json
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import kit
from kit.core.errors import AnswerError, InputError, KitError, Lost
from kit.live.feed.buffer import Buffer
from kit.live.feed.rates import Rates
from kit.live.feed.source import Chunk, Source, gathered

PATIENCE = 10


def numbers(first, count):
    return pa.record_batch({"n": pa.array(range(first, first + count), pa.int64())})


def kept(buffer, start=0, stop=None):
    first, batches = buffer.rows(start, stop)
    return first, [n for batch in batches for n in batch.column(0).to_pylist()]


class Counting(Source):
    """Numbers from 0 on, `step` at a time, as many as it is allowed to; with an error where one is planned."""

    position_column = "n"

    def __init__(self, total, step=10, errors=(), overlap=0):
        self.label, self.total, self.step, self.errors, self.overlap = "counting", total, step, list(errors), overlap
        self.allowed = threading.Event()
        self.allowed.set()
        self.opened, self.closed = [], 0

    async def open(self, after):
        self.opened.append(after)
        first = 0 if after is None else max(0, after + 1 - self.overlap)
        try:
            while first < self.total:
                while not self.allowed.is_set():  # noqa: ASYNC110 - set from another thread
                    await asyncio.sleep(0.005)
                count = min(self.step, self.total - first)
                yield Chunk(numbers(first, count), first + count - 1, self.total, first + count == self.total)
                first += count
                if self.errors and first >= self.errors[0][0]:
                    raise self.errors.pop(0)[1]
        finally:
            self.closed += 1


# --- the buffer -------------------------------------------------------------------------------------------------------


def test_rows_keep_their_numbers_while_old_ones_go():
    chance = np.random.default_rng(1)
    buffer = Buffer(max_rows=1000, max_bytes=10**9)
    total = gone = 0
    for _ in range(500):
        count = int(chance.integers(1, 40))
        gone += buffer.add(numbers(total, count))
        total += count
        assert len(buffer) == min(total, 1000) and buffer.next == total and buffer.first == gone
        start = int(chance.integers(0, total))
        stop = start + int(chance.integers(0, 60))
        first, found = kept(buffer, start, stop)
        assert first == max(start, buffer.first)
        assert found == list(range(first, max(first, min(stop, total))))
    assert kept(buffer)[1] == list(range(total - 1000, total))
    assert buffer.rows(total - 5, total - 5) == (total - 5, [])  # not a batch of no rows
    assert len(buffer._pieces) < 40  # small ones are joined
    assert buffer.clear() == 1000
    assert (len(buffer), buffer.first, buffer.next, buffer.bytes) == (0, total, total, 0)


def test_bytes_are_bounded_and_a_row_larger_than_all_of_it_is_counted():
    buffer = Buffer(max_rows=10**6, max_bytes=10_000)
    gone = sum(buffer.add(pa.record_batch({"x": [b"." * 1000] * 3})) for _ in range(20))
    assert buffer.bytes <= 10_000 and gone == 60 - len(buffer) and len(buffer) >= 7
    assert buffer.add(pa.record_batch({"x": [b"." * 20_000]})) == len(buffer) + gone * 0 + (60 - gone) + 1
    assert (len(buffer), buffer.bytes, buffer.next) == (0, 0, 61)


def test_a_buffer_holds_exactly_what_it_may():
    buffer = Buffer(max_rows=10, max_bytes=10**6)
    assert [buffer.add(numbers(0, 10)), len(buffer), buffer.first] == [0, 10, 0]
    assert [buffer.add(numbers(10, 1)), len(buffer), buffer.first] == [1, 10, 1]
    size = numbers(0, 10).nbytes
    buffer = Buffer(max_rows=10**6, max_bytes=size)
    assert [buffer.add(numbers(0, 10)), len(buffer), buffer.bytes] == [0, 10, size]
    assert [buffer.add(numbers(10, 1)), len(buffer), buffer.bytes, kept(buffer)[1]] == [1, 10, size, list(range(1, 11))]


def test_batches_of_other_columns_are_kept_apart():
    buffer = Buffer(100, 10**6)
    for batch in (numbers(0, 2), pa.record_batch({"x": ["a"]}), numbers(2, 2)):
        buffer.add(batch)
    assert [batch.schema.names for batch in buffer.rows(0)[1]] == [["n"], ["x"], ["n"]]


def test_rates_over_spans_and_the_line():
    now = [0.0]
    rates = Rates(lambda: now[0], lambda: 0.0)
    for tenth in range(1000):
        now[0] = tenth / 10
        rates.add(10, 1000)
    assert rates.over(1)[0] == pytest.approx(100, rel=0.3)
    assert rates.over(10) == (pytest.approx(100, rel=0.05), pytest.approx(10_000, rel=0.05))
    assert rates.over(60)[0] == pytest.approx(100, rel=0.02)
    assert rates.line() == [100.0] * 60
    now[0] += 30
    assert rates.over(10)[0] == 0 and rates.line()[:29] == [100.0] * 29 and rates.line()[31:] == [0.0] * 29
    now[0] += 5000
    assert rates.line() == [0.0] * 60


# --- following --------------------------------------------------------------------------------------------------------


def test_everything_comes_once_and_in_order_across_errors():
    source = Counting(100, 7, [(14, Lost("cut")), (50, ConnectionResetError("reset"))], overlap=5)
    with kit.Feed(source) as feed:
        feed.wait(100, timeout=PATIENCE)
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == list(range(100))
        stats = feed.stats()
        assert (stats["total"], stats["reconnects"], stats["gaps"]) == (100, 2, 0)
        assert stats["lag"] == 0 and stats["caught_up"] and stats["state"] == "closed"
        assert source.opened == [None, 13, 50]
    assert source.closed == 3


def test_a_permanent_error_is_told_once(caplog):
    class Broken(Counting):
        def temporary(self, error):
            return False

    with kit.Feed(Broken(100, 10, [(20, ValueError("not today"))])) as feed:
        with pytest.raises(ValueError, match="not today"):
            feed.wait(100, timeout=PATIENCE)
        assert feed.state == "failed" and feed.total == 20
        assert feed.stats()["error"] == "ValueError: not today"
        assert [record.message for record in caplog.records] == ["the feed of counting failed: ValueError: not today"]
        assert feed.df["n"].tolist() == list(range(20))


def test_answers_that_are_none_are_given_up_after_a_few_tries():
    source = Counting(100, 10, [(10, AnswerError("a proxy")) for _ in range(50)])
    source.open = lambda after: _raise(source, AnswerError("a proxy"))
    with kit.Feed(source) as feed:
        with pytest.raises(AnswerError):
            feed.wait(1, timeout=PATIENCE)
        assert len(source.opened) == 5


async def _raise(source, error):
    source.opened.append(0)
    raise error
    yield


def test_a_source_without_positions_tells_its_gaps():
    lost = [Lost("cut")]

    def rows():
        yield {"n": 1}
        if lost:
            raise lost.pop()
        yield {"n": 2}

    with kit.Feed(rows) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == [1, 1, 2]
        assert feed.stats()["gaps"] == 1 and feed.stats()["reconnects"] == 1
        with pytest.raises(InputError, match="no positions"):
            feed.checkpoint()


def test_what_leaves_the_buffer_is_counted():
    with kit.Feed(Counting(1000, 10), max_rows=100) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == list(range(900, 1000))
        assert feed.df.attrs["dropped"] == feed.stats()["dropped"] == 900
        assert feed.tail(3)["n"].tolist() == [997, 998, 999]
        assert sum(len(frame) for frame in feed) == 100
        assert next(iter(feed)).attrs["missed"] == 900
        feed.clear()
        assert len(feed.df) == 0 and feed.total == 1000


def test_pause_holds_and_resume_goes_on():
    source = Counting(100, 10)
    source.allowed.clear()
    with kit.Feed(source) as feed:
        feed.pause()
        source.allowed.set()
        assert feed.state == "paused"
        with pytest.raises(TimeoutError, match="1 rows did not come within"):
            feed.wait(1, timeout=0.2)
        feed.resume()
        feed.wait(100, timeout=PATIENCE)
        assert feed.df["n"].tolist() == list(range(100)) and feed.stats()["skipped"] == 0


def test_a_source_that_cannot_hold_is_counted_while_paused():
    class Pushing(Counting):
        holds = False
        position_column = None

    source = Pushing(100, 10)
    source.allowed.clear()
    with kit.Feed(source) as feed:
        feed.pause()
        source.allowed.set()
        feed.wait(timeout=PATIENCE)
        assert feed.stats()["skipped"] == 100 and feed.total == 0


def test_waiting():
    source = Counting(30, 10)
    with kit.Feed(source) as feed:
        assert feed.wait(10, timeout=PATIENCE) is feed
        assert feed.wait(until=lambda feed: feed.total == 30, timeout=PATIENCE).total == 30
        assert feed.wait(until="caught_up", timeout=PATIENCE).caught_up
        with pytest.raises(KitError, match="ended after 30 rows, before 31 rows"):
            feed.wait(31, timeout=PATIENCE)
        for wrong in ({"n": -1}, {"n": True}, {"until": "later"}):
            with pytest.raises(InputError):
                feed.wait(**wrong)


def test_an_interrupt_while_waiting_leaves_the_feed_alive():
    import _thread

    source = Counting(20, 10)
    source.allowed.clear()
    with kit.Feed(source) as feed:
        timer = threading.Timer(0.2, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            feed.wait(1, timeout=PATIENCE)
        timer.join()
        source.allowed.set()
        assert feed.wait(20, timeout=PATIENCE).total == 20


def test_closing_is_quick_twice_and_ends_what_was_opened():
    source = Counting(10**9, 1)
    feed = kit.Feed(source)
    feed.wait(5, timeout=PATIENCE)
    started = time.monotonic()
    feed.close()
    feed.close()
    assert time.monotonic() - started < 2
    assert source.closed == 1 and feed.state == "closed"
    total = feed.total
    assert len(feed.df) == min(total, 500_000)
    feed.pause()
    feed.resume()
    assert feed.state == "closed" and feed.total == total


def test_frames_as_they_come_in_both_colours():
    source = Counting(100, 10)
    with kit.Feed(source) as feed:
        assert pd.concat(list(feed))["n"].tolist() == list(range(100))

        async def follow():
            return [n async for frame in feed for n in frame["n"]]

        assert asyncio.run(follow()) == list(range(100))

    source = Counting(100, 10)
    source.allowed.clear()
    with kit.Feed(source) as feed:

        async def follow_live():
            threading.Timer(0.1, source.allowed.set).start()
            return [n async for frame in feed for n in frame["n"]]

        assert asyncio.run(follow_live()) == list(range(100))


# --- callbacks and filters --------------------------------------------------------------------------------------------


def test_a_callback_gets_everything_and_its_errors_are_kept_with_their_line():
    source = Counting(100, 10)
    source.allowed.clear()
    got = []
    with kit.Feed(source) as feed:

        @feed.on
        def collect(frame):
            got.extend(frame["n"].tolist())

        @feed.on
        def stumble(frame):
            raise ZeroDivisionError("by the test")

        source.allowed.set()
        feed.wait(100, timeout=PATIENCE)
    assert got == list(range(100))
    (problem,) = feed.problems
    assert problem.where == "callback stumble" and 'raise ZeroDivisionError("by the test")' in problem.line
    assert "test_live_buffer.py, line" in problem.line and feed.state == "closed"
    with pytest.raises(InputError):
        feed.on("not a function")


def test_a_callback_may_close_the_feed_and_be_taken_off():
    source = Counting(10**9, 10)
    feed = kit.Feed(source)
    calls = []
    feed.on(lambda frame: feed.close())
    quiet = feed.on(calls.append)
    feed.off(quiet)
    feed.wait(timeout=PATIENCE)
    assert feed.state == "closed"
    feed.close()


@pytest.mark.parametrize(
    ("where", "columns", "expected"),
    [
        (None, {"n": 3}, [3]),
        (None, {"n": [3, 5, 10**30]}, [3, 5]),
        (None, {"n": "4"}, [4]),
        (None, {"n": 4.0}, [4]),
        (None, {"n": True}, []),
        (None, {"n": None}, []),
        (None, {"absent": 1}, []),
        (None, {"absent": None}, list(range(10))),
        (lambda frame: frame["n"] % 4 == 0, {}, [0, 4, 8]),
        ([lambda frame: frame["n"] > 3, {"n": [2, 4, 6]}], {}, [4, 6]),
        ("n >= 8", {}, [8, 9]),
        ("n != 0 and n < 3", {}, [1, 2]),
        (lambda frame: True, {}, list(range(10))),
    ],
)
def test_filters(where, columns, expected):
    with kit.Feed(Counting(10, 4), where=where, **columns) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == expected if expected else len(feed.df) == 0
        assert feed.stats()["filtered"] == 10 - len(expected)
        assert ["absent" in str(problem) for problem in feed.problems] == [True] * ("absent" in columns)


def test_a_filter_on_a_column_that_no_row_has_says_so_until_one_has():
    with kit.Feed(Counting(10, 4), where="m > 3") as feed:
        feed.wait(timeout=PATIENCE)
        (problem,) = feed.problems
        assert "'m'" in problem.message and "there are n" in problem.message

    def later():
        yield {"a": 1}
        yield {"a": 2, "total": 5}

    with kit.Feed(later, where={"total": 5}) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.problems == [] and feed.df["total"].tolist() == [5]
    with kit.Feed(later, where="totl > 3") as feed:
        feed.wait(timeout=PATIENCE)
        assert "did you mean 'total'?" in str(feed.problems[-1])


@pytest.mark.parametrize("text", ["total >> 3", "a ==> 3", "> 3", "a and b = 1"])
def test_a_filter_that_is_not_understood_is_refused(text):
    with pytest.raises(InputError, match="cannot be understood"):
        kit.Feed(Counting(1), where=text)


@pytest.mark.parametrize(("name", "argument"), [("strat", "start"), ("bdy", "body"), ("wheer", "where")])
def test_a_slip_is_no_filter(name, argument):
    with pytest.raises(InputError, match=f"did you mean '{argument}'"):
        kit.Feed(Counting(1), **{name: 3})


@pytest.mark.parametrize("where", [lambda frame: frame["nowhere"] > 1, lambda frame: [True]])
def test_a_filter_that_fails_lets_rows_through_and_is_told(where):
    with kit.Feed(Counting(10, 4), where=where) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == list(range(10))
        (problem,) = feed.problems
        assert problem.where.startswith("filter") and problem.count == 3


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (5, {}),
        ("text", {}),
        ({"a": 1}, {}),
        (Counting(1), {"where": 5}),
        (Counting(1), {"max_rows": 0}),
        (Counting(1), {"max_bytes": True}),
        (Counting(1), {"from_checkpoint": {"form": "other"}}),
        (Counting(1), {"from_checkpoint": "/nowhere/at/all"}),
    ],
)
def test_bad_input_is_told_at_once(source, options):
    with pytest.raises(InputError):
        kit.Feed(source, **options)


def test_a_checkpoint_goes_on_after_the_last_row(tmp_path):
    with kit.Feed(Counting(50, 10)) as feed:
        feed.wait(timeout=PATIENCE)
        told = feed.checkpoint(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == told
    with kit.Feed(Counting(80, 10), from_checkpoint=json.loads(json.dumps(told))) as feed:
        feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == list(range(50, 80))
    for wrong in ({**told, "source": "other"}, {**told, "position": 1.5}, {**told, "position": True}):
        with pytest.raises(InputError):
            kit.Feed(Counting(1), from_checkpoint=wrong)


# --- what may be followed ---------------------------------------------------------------------------------------------


def test_columns_that_come_later_or_change_their_type_are_one_frame():
    def rows():
        yield [{"a": 1}, {"a": 2, "b": "x"}]
        yield {"a": 2.5, "c": [1, 2]}
        yield pd.DataFrame({"a": ["text"], "d": pd.to_datetime(["2026-01-01"], utc=True)})
        yield pa.table({"e": pa.array([1, None], pa.int32()), "a": pa.array([b"\xff", b"y"])})
        yield {"a": {"deep": {"er": [1]}}}
        yield {}
        yield {"e": np.arange(2)}

    with kit.Feed(rows) as feed:
        feed.wait(timeout=PATIENCE)
        frame = feed.df
        assert frame.columns.tolist() == ["a", "b", "c", "d", "e", "value"]
        assert [str(value) for value in frame["a"][:7]] == [
            "1", "2", "2.5", "text", "base64:/w==", "y", '{"deep": {"er": [1]}}',
        ]  # fmt: skip
        assert frame["e"].dropna().tolist() == [1, 0, 1] and len(frame) == 10


@pytest.mark.parametrize(
    ("given", "column", "expected"),
    [
        (lambda: iter(["a", "b"]), "value", ["a", "b"]),
        ([[1, 2], [3]], "value", [1, 2, 3]),
        ([b"x", b"\xff"], "value", [b"x", b"\xff"]),
        ([{"a": [1, 2], "b": ["x", "y"]}], "a", [1, 2]),
        ([["mixed", 1, None]], "value", ["mixed", "1", None]),
        ([{"t": "\ud800"}], "t", ["\\ud800"]),
    ],
)
def test_rows_in_many_forms(given, column, expected):
    with kit.Feed(given) as feed:
        feed.wait(timeout=PATIENCE)
        assert [None if value is pd.NA or value != value else value for value in feed.df[column].tolist()] == expected


def test_an_async_generator_and_what_is_no_row():
    async def rows():
        yield {"n": 1}
        await asyncio.sleep(0)
        yield object()

    with kit.Feed(rows) as feed:
        with pytest.raises(InputError, match="which is no rows"):
            feed.wait(timeout=PATIENCE)
        assert feed.df["n"].tolist() == [1]


def test_gathered_groups_what_comes_quickly_and_delays_nothing_after_a_silence():
    async def main():
        async def items():
            for n in range(1000):
                yield n
            await asyncio.sleep(0.2)
            yield 1000
            raise Lost("cut")

        groups = []
        with pytest.raises(Lost):  # noqa: PT012 - the loop is what raises
            async for group in gathered(items(), lambda item: 1, pause=0.05):
                groups.append(group)
        assert [n for group in groups for n in group] == list(range(1001))
        assert len(groups) < 8

    asyncio.run(main())


def test_gathered_holds_back_who_is_too_quick():
    async def main():
        given = []

        async def items():
            for n in range(1000):
                given.append(n)
                yield n

        async for group in gathered(items(), lambda item: 100, most=1000, pause=0):
            assert len(given) - group[-1] <= 21
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_nothing_is_left_at_exit():
    import subprocess
    import sys

    code = (
        "import kit, itertools\n"
        "feed = kit.Feed(lambda: ({'n': n} for n in itertools.count()))\n"
        "feed.wait(100, timeout=10)\n"
        "feed.on(lambda frame: None)\n"
        "print('done')\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_feed_is_quiet_about_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with kit.Feed(Counting(10, 1)) as feed:
            feed.wait(timeout=PATIENCE)
            assert "counting" in repr(feed) and "<table" in feed._repr_html_()


def test_no_row_is_lost_at_positions_that_a_float_does_not_tell_apart():
    first = 2**53

    class High(Source):
        label, position_column = "high", "n"

        async def open(self, after):
            begin = first if after is None else after
            rows = range(begin, first + 6)[: 5 if after is None else 6]  # what was the last row comes again
            yield Chunk(pa.record_batch({"n": pa.array(rows, pa.uint64())}), rows[-1])
            if after is None:
                raise Lost("cut")

    with kit.Feed(High()) as feed:
        assert feed.wait(timeout=PATIENCE).df["n"].tolist() == [*range(first, first + 6)]
