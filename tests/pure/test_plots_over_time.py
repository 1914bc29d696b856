"""Throughput, latency and any metric over time, looked at through their Axes."""

import io
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

import kit
from kit import plots
from kit.core.errors import InputError
from kit.core.tables.frames import to_frame
from kit.live.feed.rates import Rates
from kit.plots.marks import MOST_POINTS, thin
from kit.plots.times import interval, span
from tests.pace import slowness

DAYS = pd.date_range("2025-11-01", periods=14, freq="D", tz="UTC")


def panels(ax):
    return ax.get_figure().axes


def subtitle(panel):
    return next(text.get_text().replace("\n", " ") for text in panel.texts if text.get_gid() == "subtitle")


def heights(ax):
    return [bar.get_height() for bar in ax.containers[0]]


def names_beside(ax):
    return {text.get_text() for text in ax.texts if text.get_gid() is None}


NAMES = {
    "1s": "second", "2s": "2 s", "10s": "10 s", "90s": "90 s", "1min": "minute", "5min": "5 min", "1h": "hour",
    "6h": "6 h", "1D": "day", "2D": "2 days", "7D": "week", "14D": "14 days", "30D": "30 days",
}  # fmt: skip


@pytest.mark.parametrize("every", NAMES)
def test_the_axis_is_per_the_interval_that_was_asked_for(every):
    width = pd.Timedelta(every)
    start = pd.Timestamp("2025-01-06", tz="UTC")  # a Monday
    # Three rows in each of ten intervals.
    times = [start + n * width + part * width / 3 for n in range(10) for part in range(3)]
    frame = pd.DataFrame({"time": times, "total": 2.5})
    name = NAMES[every]
    ax = plots.throughput(frame, every=every)
    assert ax.get_ylabel() == f"rows per {name}" and ax.get_title(loc="left") == f"Rows per {name}"
    origin = interval(every, 0, 1).begin(int(start.value))
    expected = np.bincount([(int(t.value) - origin) // width.value for t in times]).tolist()
    assert heights(ax) == expected and sum(expected) == 30
    summed = plots.throughput(frame, "total", every=every)
    assert summed.get_ylabel() == f"total per {name}" and sum(heights(summed)) == 75
    rate = plots.throughput(frame, every=every, how="rate")
    assert rate.get_ylabel() == "rows/s" and heights(rate) == pytest.approx(
        [n / width.total_seconds() for n in expected]
    )


def test_rows_are_counted_in_each_interval():
    frame = pd.DataFrame(
        {"time": pd.date_range("2026-01-01", periods=600, freq="500ms", tz="UTC"), "body": [b"12345678"] * 600}
    )
    ax = plots.throughput(frame, every="10s")
    assert heights(ax) == [20] * 30
    assert subtitle(ax) == "1 Jan 2026, 00:00 to 00:04 UTC · 600 rows"
    weighed = plots.throughput(frame, "bytes", every="10s")
    assert heights(weighed) == [160] * 30 and weighed.get_ylabel() == "bytes per 10 s"
    assert weighed.yaxis.get_major_formatter()(2000) == "2 kB"
    some = frame.assign(n=[1, None] * 300)
    assert heights(plots.throughput(some, "n", every="10s", how="count")) == [10] * 30


def test_intervals_in_which_nothing_came_are_zero():
    times = pd.to_datetime(["2026-01-01 00:00:00", "2026-01-01 00:00:09"], utc=True)
    assert heights(plots.throughput(pd.DataFrame({"time": times}), every="1s")) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_weeks_begin_on_mondays_and_days_at_midnight():
    times = pd.to_datetime(["2026-01-04 23:00", "2026-01-05 01:00", "2026-01-05 02:00"], utc=True)  # Sunday, Monday
    assert heights(plots.throughput(pd.DataFrame({"time": times}), every="7D")) == [1, 2]
    assert heights(plots.throughput(pd.DataFrame({"time": times}), every="1D")) == [1, 2]


def test_an_interval_that_the_rows_do_not_cover_is_hatched_and_said():
    times = pd.date_range("2026-01-01 00:30", "2026-01-01 05:10", freq="1min", tz="UTC")
    ax = plots.throughput(pd.DataFrame({"time": times}), every="1h")
    assert [bool(bar.get_hatch()) for bar in ax.containers[0]] == [True, False, False, False, False, True]
    assert "first and last hour not whole (hatched)" in subtitle(ax)
    lines = plots.throughput(pd.DataFrame({"time": times, "kind": "a"}), every="1h", by="kind")
    assert list(lines.lines[0].get_ydata()) == [60, 60, 60, 60]
    assert "first and last hour not whole (left out)" in subtitle(lines)
    whole = pd.date_range("2026-01-01 00:00", "2026-01-01 04:59", freq="1min", tz="UTC")
    assert "not whole" not in subtitle(plots.throughput(pd.DataFrame({"time": whole}), every="1h"))


def test_rows_by_a_column():
    frame = pd.DataFrame({"time": list(DAYS) * 3, "kind": ["a"] * 14 + ["b"] * 28})
    ax = plots.throughput(frame, by="kind", every="1D")
    assert ax.get_title(loc="left") == "Rows per day by kind"
    assert {line.get_label(): set(line.get_ydata()) for line in ax.lines} == {"a": {1}, "b": {2}}
    assert names_beside(ax) == {"a", "b"}  # beside the lines, not in a legend
    assert ax.get_legend() is None


def test_nine_cities_are_nine_names_and_forty_are_eight_and_others():
    def cities(count):
        rows = [(day, f"c{n:02}") for n in range(count) for day in DAYS for _ in range(count - n)]
        return plots.throughput(pd.DataFrame(rows, columns=["time", "city"]), by="city", every="1D")

    assert names_beside(cities(9)) == {f"c{n:02}" for n in range(9)}
    ax = cities(40)
    assert names_beside(ax) == {*(f"c{n:02}" for n in range(8)), "32 others"}
    assert len(ax.collections[0].get_segments()) == 32 and len(ax.lines) == 8


def test_rows_without_a_time_are_told():
    frame = pd.DataFrame({"time": [*DAYS[:3], pd.NaT]})
    assert "1 row without a time left out" in subtitle(plots.throughput(frame, every="1D"))


def test_every_kind_of_frame():
    frame = pd.DataFrame({"time": DAYS, "n": range(14), "kind": ["a", "b"] * 7})
    given = [
        frame,
        frame.set_index("time"),
        pa.Table.from_pandas(frame),
        pa.table({name: frame[name] for name in frame}).to_reader(),
    ]
    for one in given:
        assert heights(plots.throughput(one, every="7D")) == [2, 7, 5]
    for one in [*given[:3], pa.table({name: frame[name] for name in frame}).to_reader()]:
        assert list(plots.over_time(one, "n").lines[0].get_ydata()) == list(range(14))


def test_metrics_and_calls_in_arrow():
    used = pa.table({"model": ["haiku", "opus"], "tokens": [1200, 300]})
    assert [bar.get_width() for bar in plots.usage(used).patches] == [1200, 300]
    calls = pa.table({"started": pa.array(DAYS), "ms": pa.array([5.0] * 14)})
    assert plots.latency(calls).get_title(loc="left") == "Latency of 14 calls"


def test_polars():
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(pa.table({"time": pa.array(DAYS), "n": pa.array(range(14))}))
    assert heights(plots.throughput(frame, every="7D")) == [2, 7, 5]
    assert list(plots.over_time(frame, "n").lines[0].get_ydata()) == list(range(14))


def test_a_gauge_over_time():
    times = pd.date_range("2026-01-01", periods=50, freq="1s", tz="UTC")
    frame = pd.concat(
        [
            pd.DataFrame({"time": times, "queue": queue, "depth": np.arange(50) + base, "seen": 1})
            for queue, base in (("jobs", 60), ("mails", 3))
        ]
    )
    ax = plots.over_time(frame, "depth")
    assert ax.get_title(loc="left") == "Depth by queue"
    assert {line.get_label(): list(line.get_ydata()) for line in ax.lines} == {
        "jobs": list(range(60, 110)), "mails": list(range(3, 53)),
    }  # fmt: skip
    assert len(panels(plots.over_time(frame, ["depth", "seen"], by="queue"))) == 2
    most = plots.over_time(frame, "depth", by="queue", every="10s", agg="max")
    assert list(most.lines[0].get_ydata()) == [69, 79, 89, 99, 109] and "max of each 10 s" in subtitle(most)
    assert list(plots.over_time(frame, "depth", agg="sum").lines[0].get_ydata())[:2] == [63, 65]
    assert plots.over_time(frame, "depth", agg="p50", every="50s").lines[0].get_ydata().tolist() == [56.0]
    with pytest.raises(InputError, match=r"(?s)several values have the same time.*by='kind'.*agg='mean'"):
        plots.over_time(frame.drop(columns="queue").assign(kind="x"), "depth")


def test_a_metric_of_a_tidy_frame_over_time():
    frame = pd.DataFrame({"time": DAYS, "metric": "memory", "value": 52e6 + np.arange(14) * 1e4, "unit": "bytes"})
    ax = plots.over_time(frame)
    assert ax.get_title(loc="left") == "Memory"
    low, _ = ax.get_ylim()
    assert low > 50e6  # from zero on, one would see a straight line
    ticks = [label.get_text() for label in ax.get_yticklabels()]
    assert len({*ticks}) == len(ticks) and all(tick.endswith(" MB") for tick in ticks)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.throughput(pd.DataFrame({"a": [1]})), "no column of times"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), time="at"), "time='at'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), by="tim"), r"(?s)by='tim'.*mean 'time'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), what="x"), "what='x'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS, "x": "a"}), what="x"), "what='x': the column holds"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), how="mean"), "how='mean'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), how="sum"), "how='sum' adds up the values of a column"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="soon"), "every='soon' is not a duration"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="1ME"), "every='1ME' is not a duration"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every=7), "every=7 is not a duration"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="-1s"), "longer than zero"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="1us"), "million bins"),
        (lambda: plots.throughput([1, 2]), "takes a frame"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), live=True), "needs a feed"),
        (lambda: plots.latency(pd.DataFrame({"ms": [1]})), "no column 'started'"),
        (lambda: plots.latency(pd.DataFrame({"started": DAYS, "ms": "x"})), "what='ms': the column holds"),
        (lambda: plots.over_time(pd.DataFrame({"time": DAYS, "a": 1, "b": 2})), "2 columns of numbers: a, b"),
        (lambda: plots.over_time(pd.DataFrame({"time": DAYS, "a": 1}), "c"), "metric='c'"),
        (lambda: plots.over_time(pd.DataFrame({"time": DAYS, "a": 1}), "a", agg="avg"), "agg='avg'"),
    ],
)
def test_wrong_input_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_empty_frames_say_so():
    for ax in (
        plots.throughput(pd.DataFrame({"time": DAYS[:0]})),
        plots.usage(pd.DataFrame({"time": DAYS[:0], "metric": "", "value": 0.0, "unit": ""})),
        plots.over_time(pd.DataFrame({"time": DAYS[:0], "depth": []}), "depth"),
        plots.latency(pd.DataFrame({"started": DAYS[:0], "ms": []})),
    ):
        assert any("no" in text.get_text() for text in ax.texts)
        assert ax._repr_mimebundle_()[0]["image/png"]


def test_quantiles_and_how_often():
    rng = np.random.default_rng(3)
    times = pd.date_range("2026-01-01", periods=2000, freq="100ms", tz="UTC")
    frame = pd.DataFrame({"started": times, "ms": rng.lognormal(1, 1, 2000)})
    ax = plots.latency(frame)
    assert names_beside(ax) == {"p50", "p90", "p99"}
    low, middle, high = (line.get_ydata() for line in ax.lines)
    assert (low <= middle).all() and (middle <= high).all()
    histogram = panels(ax)[1]
    assert sum(bar.get_height() for bar in histogram.patches) == 2000
    p50, p90, p99 = np.quantile(frame["ms"], [0.5, 0.9, 0.99])
    told = "1 Jan 2026, 00:00 to 00:03 UTC"
    assert subtitle(ax) == f"{told} · p50 {p50:.3g} ms · p90 {p90:.3g} ms · p99 {p99:.3g} ms"
    assert plots.latency(frame.rename(columns={"ms": "took"}), what="took").lines
    zeros = plots.latency(frame.assign(ms=[0.0] * 10 + [2.0] * 1990))
    assert sum(bar.get_height() for bar in panels(zeros)[1].patches) == 2000  # those that took no time are among them


def test_axes_of_ones_own():
    figure = Figure()
    mine = figure.add_subplot()
    assert plots.throughput(pd.DataFrame({"time": DAYS}), ax=mine, title="mine") is mine
    assert mine.get_title(loc="left") == "mine"
    assert plots.latency(pd.DataFrame({"started": DAYS, "ms": 1.0}), ax=figure.add_subplot()).lines
    left, right = Figure().subplots(1, 2)
    frame = pd.DataFrame({"model": ["haiku", "opus"], "tokens": [1200, 300], "cost": [0.01, 0.2]})
    with pytest.raises(
        InputError, match=r"(?s)ax= has 1 panel, but the frame has 2 metrics: 'cost', 'tokens'.*\[left, right\]"
    ):
        plots.usage(frame, ax=left)
    assert plots.usage(frame, ax=[left, right]) is left and len(right.patches) == 2
    # Users go on with matplotlib: what they add is in the picture, whole.
    ax = plots.throughput(pd.DataFrame({"time": DAYS}), every="1D")
    before = ax._repr_mimebundle_()[1]["image/png"]["width"]
    ax.annotate("outage", (1.4, 0.5), xycoords="axes fraction")
    assert ax._repr_mimebundle_()[1]["image/png"]["width"] > before
    out = io.BytesIO()
    ax.get_figure().savefig(out, format="svg")
    assert b"<svg" in out.getvalue()


def test_lines_are_thinned_without_losing_a_peak():
    y = np.zeros(1_000_000)
    y[123_456], y[700_001] = 7.0, -3.0
    y[400_000:500_000] = np.nan
    x, kept = thin(np.arange(len(y)), y)
    assert len(x) <= MOST_POINTS and np.nanmax(kept) == 7.0 and np.nanmin(kept) == -3.0
    assert (np.diff(x) > 0).all() and x[0] == 0 and x[-1] == 999_999
    assert np.isnan(kept[(x > 401_000) & (x < 499_000)]).all()  # the gap stays a gap


def test_a_million_rows_are_drawn_in_a_moment():
    times = pd.date_range("2025-01-01", periods=1_000_000, freq="s", tz="UTC")
    values = np.random.default_rng(1).normal(size=1_000_000)
    frame = pd.DataFrame({"time": times, "value": values})
    took = []
    for _ in range(4):
        before = time.thread_time()
        line = plots.over_time(frame, "value").lines[0]
        took.append(time.thread_time() - before)
    assert max(line.get_ydata()) == values.max() and min(line.get_ydata()) == values.min()
    assert len(line.get_xdata()) <= MOST_POINTS
    assert min(took) < 0.15 * slowness()


def test_spans_and_intervals():
    def at(text):
        return int(pd.Timestamp(text, tz="UTC").value)

    assert span(at("2026-01-01 10:00"), at("2026-01-01 12:30")) == "1 Jan 2026, 10:00 to 12:30 UTC"
    assert span(at("2026-01-01 10:00:00"), at("2026-01-01 10:00:10")) == "1 Jan 2026, 10:00:00 to 10:00:10 UTC"
    assert span(at("2025-01-01"), at("2026-01-01")) == "1 Jan 2025 to 1 Jan 2026"
    assert interval(None, at("2026-01-01 10:00"), at("2026-01-01 12:30")).name == "minute"
    assert interval("h", 0, 1).name == "hour"


def test_decimals_with_missing_values_are_numbers():
    times = pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC")
    for kind in (pa.decimal128(10, 2), pa.decimal256(50, 2)):
        table = pa.table({"time": pa.array(times), "price": pa.array([Decimal("1.50"), None, Decimal(3)], kind)})
        assert plots.over_time(table, "price").lines[0].get_ydata().tolist() == [1.5, 3.0]
        assert "4.5 in all" in subtitle(plots.throughput(table, "price", every="1h"))


def test_lists_and_objects_tell_rows_apart():
    time = pd.Timestamp("2026-01-01", tz="UTC")
    for tags in ([{"a": 1}, {"a": 2}, None], [[1], [2], None]):
        plain = pd.DataFrame({"time": [time] * 3, "depth": [1, 2, 3], "tags": pd.Series(tags, dtype=object)})
        kept = to_frame(pa.table({"time": pa.array([time] * 3), "depth": [1, 2, 3], "tags": tags}))
        for frame in (plain, kept):
            names = [line.get_label() for line in plots.over_time(frame, "depth", by="tags").lines]
            assert sorted(names) == sorted(["(none)", *(str(tag) for tag in tags[:2])])
            assert len(plots.throughput(frame, by="tags").lines) == 3
        assert len(plots.over_time(plain, "depth").lines) == 3


def test_bytes_of_text_are_those_of_its_utf_8():
    times = pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC")
    for body in (["é", "abc", None], [b"\xc3\xa9", b"abc", None]):
        frame = pd.DataFrame(
            {"time": times, "body": pd.Series(body, dtype="str" if isinstance(body[0], str) else object)}
        )
        assert heights(plots.throughput(frame, "bytes", every="1h")) == [2, 3, 0]
    with pytest.raises(InputError, match="a body is a dict"):
        plots.throughput(pd.DataFrame({"time": times[:1], "body": [{"a": 1}]}), "bytes")


def test_a_duration_that_is_infinite_is_left_out_and_told():
    times = pd.date_range("2026-01-01", periods=3, freq="1h", tz="UTC")
    ax = plots.latency(pd.DataFrame({"started": times, "ms": [1, np.inf, 3]}))
    assert "p50 2 ms" in subtitle(ax) and "1 row without time or duration left out" in subtitle(ax)


def test_odd_columns_are_taken_or_told():
    times = pd.date_range("2026-01-01", periods=2, freq="1h", tz="UTC")
    assert heights(plots.throughput(pd.DataFrame({0: times}), every="1h")) == [1, 1]
    twice = pd.DataFrame([[times[0], 1, 2]], columns=["time", "v", "v"])
    with pytest.raises(InputError, match="several columns have this name"):
        plots.over_time(twice, "v")
    assert heights(plots.throughput(twice, every="1h")) == [1]
    for far in ("1600-01-01", "9999-01-01"):
        with pytest.raises(InputError, match="before 1678 or after 2262"):
            plots.throughput(pd.DataFrame({"time": pd.Series(np.array([far, "2026-01-01"], "M8[s]"))}))


def test_what_a_feed_took_in_its_last_interval_is_told_once_it_has_ended():
    now = [0.0]
    rates = Rates(lambda: now[0], lambda: pd.Timestamp("2026-01-01", tz="UTC").timestamp())
    for second in range(150):
        now[0] = float(second)
        rates.add(10, 80)
    with kit.Feed([{"n": 1}]) as feed:
        feed.wait(timeout=10)
    feed.shared.rates = rates
    ax = plots.throughput(feed, every="1min")
    assert ax.lines[0].get_ydata().tolist() == [600]
    assert "1,500 rows, 600 in the first minute left out, 300 in the last minute left out" in subtitle(ax)
    whole = plots.throughput(feed, every="30s")
    assert whole.lines[0].get_ydata().tolist() == [300] * 4 and "last" not in subtitle(whole)
