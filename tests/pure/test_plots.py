"""Plots, looked at through their Axes: what is drawn, in which units, and what comes of odd input."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit import plots
from kit.canvas import MOST_POINTS, MOST_SERIES, OTHERS, PALETTE, Picture, bin_width, formatter, span, thin
from kit.core.errors import InputError


def tidy(times, values, *, metric="usage_cost", unit="USD", **labels):
    return pd.DataFrame(
        {"time": pd.to_datetime(pd.Series(times), utc=True), "metric": metric, "value": values, "unit": unit, **labels}
    )


DAYS = pd.date_range("2026-11-01", periods=14, freq="D", tz="UTC")


def costs():
    parts = [
        tidy(DAYS, np.arange(14.0) * factor, metric=metric, unit=unit, model=model)
        for model, factor in (("haiku", 1), ("opus", 3))
        for metric, unit in (("usage_cost", "USD"), ("usage_tokens", "tokens"))
    ]
    return pd.concat(parts, ignore_index=True)


def panels(ax):
    return ax.get_figure().axes


def test_every_plot_is_axes_that_a_notebook_shows():
    stamps = pd.DataFrame({"time": DAYS})
    calls = pd.DataFrame({"started": DAYS, "ms": 1.0})
    for ax in (plots.usage(costs()), plots.throughput(stamps), plots.latency(calls)):
        assert isinstance(ax, Axes)
        data, metadata = ax._repr_mimebundle_()
        assert data["image/png"].startswith(b"\x89PNG")
        assert metadata["image/png"]["width"] == 800
        assert data["text/plain"].startswith("<plot: ") and "2026" in data["text/plain"]


def test_nothing_goes_through_pyplot():
    code = """
import sys, pandas as pd
from kit import plots
plots.usage(pd.DataFrame({"model": ["a"], "tokens": [1]}))._repr_mimebundle_()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_panel_for_each_unit_and_a_colour_for_each_series():
    ax = plots.usage(costs())
    cost, tokens = panels(ax)
    assert cost.get_title(loc="left").startswith("usage cost by model, 1 Nov 2026 to 14 Nov 2026")
    assert tokens.get_title(loc="left").startswith("usage tokens by model")
    for panel in (cost, tokens):
        names = [text.get_text() for text in panel.get_legend().get_texts()]
        assert names == ["opus", "haiku"]
        heights = [sum(bar.get_height() for bar in bars) for bars in panel.containers]
        assert heights == [3 * 91.0, 91.0]
    colours = {bars.patches[0].get_facecolor() for panel in (cost, tokens) for bars in panel.containers}
    assert len(colours) == 2
    assert cost.yaxis.get_major_formatter()(0.005) == "$0.005"


def test_a_single_time_gives_bars_by_size():
    frame = pd.DataFrame({"model": ["haiku", "opus"], "tokens": [1200, 300], "cost": [0.01, 0.2]})
    cost, tokens = panels(plots.usage(frame))
    assert [label.get_text() for label in cost.get_yticklabels()] == ["haiku", "opus"]
    assert [label.get_text() for label in tokens.get_yticklabels()] == ["opus", "haiku"]
    assert {text.get_text() for text in cost.texts} == {r"\$0.01", r"\$0.20"}


def test_gauges_are_lines_and_sums_over_intervals_are_bars():
    times = pd.date_range("2026-11-01", periods=50, freq="h", tz="UTC")
    gauge = plots.usage(tidy(times, range(50), metric="storage", unit="bytes", basin="a"))
    assert len(gauge.lines) == 1 and not gauge.containers
    assert gauge.yaxis.get_major_formatter()(2e6) == "2 MB"
    sums = plots.usage(tidy(times, range(50), metric="append", unit="operations", interval="hour"))
    assert len(sums.containers) == 1 and not sums.lines


def test_a_metric_can_be_named_and_a_wrong_one_is_told():
    assert plots.usage(costs(), "usage_tokens").get_title(loc="left").startswith("usage tokens by model")
    with pytest.raises(
        InputError, match=r"(?s)no metric 'usage_token' in the frame.*there are: 'usage_cost', 'usage_tok"
    ):
        plots.usage(costs(), "usage_token")
    with pytest.raises(InputError, match=r"(?s)by='colour': there is no such label.*there are: model"):
        plots.usage(costs(), by="colour")


def test_series_beyond_what_can_be_told_apart_are_folded():
    parts = [tidy(DAYS, np.full(14, 30.0 - n), model=f"m{n:02}") for n in range(30)]
    ax = plots.usage(pd.concat(parts, ignore_index=True))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(names) == MOST_SERIES and names[-1] == OTHERS
    total = sum(bar.get_height() for bars in ax.containers for bar in bars)
    assert total == pytest.approx(14 * sum(30 - n for n in range(30)))
    assert len(set(PALETTE)) == len(PALETTE)


def test_many_metrics_are_reduced_to_those_that_tell_most():
    names = [f"svc_{n}_bucket" for n in range(30)] + ["svc_requests_total", "svc_up", "svc_a", "svc_b", "svc_c"]
    frame = pd.concat([tidy([DAYS[0]], [1.0], metric=name, unit="count") for name in names], ignore_index=True)
    assert "requests total" in plots.usage(frame).get_title(loc="left")


def test_the_rate_of_a_frame():
    frame = pd.DataFrame(
        {"seq_num": range(600), "time": pd.date_range("2026-01-01", periods=600, freq="500ms", tz="UTC")}
    )
    ax = plots.throughput(frame, every="10s")
    (line,) = ax.lines
    assert set(line.get_ydata()) == {2.0} and len(line.get_ydata()) == 30
    assert ax.get_ylabel() == "rows/s"
    assert ax.get_title(loc="left").startswith("rows per second, 1 Jan 2026")
    slow = plots.throughput(frame.assign(time=pd.date_range("2026-01-01", periods=600, freq="10min", tz="UTC")))
    assert slow.get_ylabel() == "rows/h"
    weighed = plots.throughput(frame.assign(body=[b"12345678"] * 600), every="10s", what="bytes")
    assert set(weighed.lines[0].get_ydata()) == {16.0}
    assert weighed.get_ylabel() == "bytes/s"


def test_bins_in_which_nothing_came_are_zero():
    times = pd.to_datetime(["2026-01-01 00:00:00", "2026-01-01 00:00:09"], utc=True)
    line = plots.throughput(pd.DataFrame({"time": times}), every="1s").lines[0]
    assert list(line.get_ydata()) == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_rates_by_a_column():
    frame = pd.DataFrame({"time": list(DAYS) * 3, "kind": ["a"] * 14 + ["b"] * 28})
    ax = plots.throughput(frame, by="kind", every="1D")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "a"]
    assert ax.get_title(loc="left").startswith("rows per day by kind")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.throughput(pd.DataFrame({"a": [1]})), "no column of times"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), time="at"), "no column 'at'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), by="x"), "by='x'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), what="x"), "what='x'"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="soon"), "every='soon' is no length of time"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="-1s"), "longer than nothing"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), every="1us"), "million bins"),
        (lambda: plots.throughput([1, 2]), "neither a frame nor a feed"),
        (lambda: plots.throughput(pd.DataFrame({"time": DAYS}), live=True), "needs a feed"),
        (lambda: plots.usage([1]), "takes a DataFrame"),
        (lambda: plots.usage(pd.DataFrame({"time": DAYS})), "no column 'metric', 'value', 'unit'"),
        (lambda: plots.latency(pd.DataFrame({"ms": [1]})), "no column 'started'"),
        (lambda: plots.usage(costs(), theme="blue"), "theme='blue'"),
        (lambda: plots.usage(costs(), ax=7), "no matplotlib Axes"),
    ],
)
def test_wrong_input_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_empty_frames_say_so():
    for ax in (
        plots.throughput(pd.DataFrame({"time": DAYS[:0]})),
        plots.usage(costs().iloc[:0]),
        plots.latency(pd.DataFrame({"started": DAYS[:0], "ms": []})),
    ):
        assert any("no" in text.get_text() for text in ax.texts)
        assert ax._repr_mimebundle_()[0]["image/png"]


def test_hostile_labels_are_short_harmless_text():
    names = ["$\\frac{1}{0}$", "a\x1b[31m\x00", "x" * 5000, "\u202eevil", "", "<img src=x>"]
    frame = pd.DataFrame({"model": names, "tokens": range(6)})
    ax = plots.usage(frame)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert all(len(label) < 60 and label.isprintable() for label in labels)
    assert ax._repr_mimebundle_()[0]["image/png"]


def test_quantiles_and_how_often():
    rng = np.random.default_rng(3)
    times = pd.date_range("2026-01-01", periods=2000, freq="100ms", tz="UTC")
    frame = pd.DataFrame({"started": times, "ms": rng.lognormal(1, 1, 2000)})
    ax = plots.latency(frame)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["p50", "p90", "p99"]
    low, middle, high = (line.get_ydata() for line in ax.lines)
    assert (low <= middle).all() and (middle <= high).all()
    histogram = panels(ax)[1]
    assert sum(bar.get_height() for bar in histogram.patches) == pytest.approx(2000, abs=2)
    assert ax.get_figure().get_suptitle().startswith("latency of 2,000 calls")


def test_axes_of_ones_own():
    figure = Figure()
    mine = figure.add_subplot()
    assert plots.throughput(pd.DataFrame({"time": DAYS}), ax=mine, title="mine") is mine
    assert mine.get_title(loc="left") == "mine"
    assert plots.usage(costs(), ax=figure.add_subplot()).containers
    assert plots.latency(pd.DataFrame({"started": DAYS, "ms": 1.0}), ax=figure.add_subplot()).lines


def test_themes():
    dark = plots.usage(costs(), theme="dark").get_figure()
    assert sum(dark.get_facecolor()[:3]) < 0.5
    auto = plots.usage(costs()).get_figure()
    assert auto.get_facecolor()[3] == 0  # the page shows through


def test_lines_are_thinned_without_losing_a_peak():
    y = np.zeros(1_000_000)
    y[123_456] = 7.0
    x, kept = thin(np.arange(len(y)), y)
    assert len(x) <= MOST_POINTS and kept.max() == 7.0 and (np.diff(x) > 0).all()
    times = pd.date_range("2026-01-01", periods=100_000, freq="s", tz="UTC")
    assert len(plots.usage(tidy(times, y[:100_000], metric="m", unit="x")).lines[0].get_xdata()) <= MOST_POINTS


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("bytes", 0, "0 B"), ("bytes", 999, "999 B"), ("bytes", 1e12, "1 TB"), ("ms", 1500, "1.5 s"),
        ("ms", 0.002, "2 µs"), ("s", 90, "90 s"), ("rows", 0.25, "0.25"), ("rows", 12_345, "12.3 k"),
        ("USD", 1234.5, "$1,234.50"), ("USD", 0.00012, "$0.00012"), ("USD", 0, "$0.00"), ("rows", -1500, "-1.5 k"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(unit, value, shown):
    assert formatter(unit)(value) == shown


def test_spans_and_bins():
    times = pd.Series(pd.to_datetime(["2026-01-01 10:00", "2026-01-01 12:30"], utc=True))
    assert "1 Jan 2026" in span(times)
    assert bin_width(times) == pd.Timedelta("60s")
    assert bin_width(times[:0]) == pd.Timedelta("1ms")


def test_a_picture_of_a_closed_figure_can_be_saved():
    out = io.BytesIO()
    ax = plots.usage(costs())
    assert isinstance(ax, Picture)
    ax.get_figure().savefig(out, format="svg")
    assert b"<svg" in out.getvalue()
