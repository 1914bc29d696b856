"""Plots of what was used, looked at through their Axes: one panel for each metric, and no number that is not there."""

import numpy as np
import pandas as pd
import pytest

from kit import plots
from kit.core.errors import InputError
from kit.plots.theme import MOST_SERIES

DAYS = pd.date_range("2025-11-01", periods=14, freq="D", tz="UTC")


def tidy(times, values, *, metric="usage_cost", unit="USD", **labels):
    return pd.DataFrame(
        {"time": pd.to_datetime(pd.Series(times), utc=True), "metric": metric, "value": values, "unit": unit, **labels}
    )


def costs(**labels):
    parts = [
        tidy(DAYS, np.arange(14.0) * factor, metric=metric, unit=unit, model=model, **labels)
        for model, factor in (("haiku", 1), ("opus", 3))
        for metric, unit in (("usage_cost", "USD"), ("usage_tokens", "tokens"))
    ]
    return pd.concat(parts, ignore_index=True)


def panels(ax):
    return ax.get_figure().axes


def titles(ax):
    return [panel.get_title(loc="left").replace("\n", " ") for panel in panels(ax)]


def subtitle(panel):
    return next(text.get_text().replace("\n", " ") for text in panel.texts if text.get_gid() == "subtitle")


def number(panel):
    return next((text.get_text() for text in panel.texts if text.get_gid() == "number"), None)


def notes(ax):
    return " ".join(text.get_text() for text in reversed(ax.get_figure().texts))


def test_different_metrics_of_one_unit_are_never_added_up():
    frame = pd.concat(
        [
            tidy(DAYS[:1], [900.0], metric="budget_limit", unit="tokens"),
            tidy(DAYS[:1], [800.0], metric="budget_remaining", unit="tokens"),
            tidy(DAYS[:1], [60.0], metric="used", unit="tokens", model="opus"),
            tidy(DAYS[:1], [40.0], metric="used", unit="tokens", model="haiku"),
        ],
        ignore_index=True,
    )
    ax = plots.usage(frame)
    found = {title: number(panel) for title, panel in zip(titles(ax), panels(ax), strict=True) if title}
    assert found == {"Used by model": None, "Budget limit": "900 tokens", "Budget remaining": "800 tokens"}
    assert sorted(bar.get_width() for bar in ax.patches) == [40, 60]
    assert not any("none" in text.get_text() for panel in panels(ax) for text in panel.texts)


def test_none_is_a_series_only_where_a_metric_has_rows_with_and_without_a_label():
    frame = pd.concat([tidy(DAYS[:1], [3.0], model="opus"), tidy(DAYS[:1], [1.0], model=None)], ignore_index=True)
    assert [label.get_text() for label in plots.usage(frame).get_yticklabels()] == ["opus", "(none)"]


def test_one_panel_for_each_metric_and_a_colour_for_each_series():
    ax = plots.usage(costs(interval="day"))
    cost, tokens = panels(ax)
    assert titles(ax) == ["Usage cost by model", "Usage tokens by model"]
    assert subtitle(cost) == "1 Nov 2025 to 14 Nov 2025 · $364.00 in all".replace("$", r"\$")
    for panel in (cost, tokens):
        assert [text.get_text() for text in panel.get_legend().get_texts()] == ["haiku", "opus"]  # as they are stacked
        assert [sum(bar.get_height() for bar in bars) for bars in panel.containers] == [3 * 91.0, 91.0]
    colours = {bars.patches[0].get_facecolor() for panel in (cost, tokens) for bars in panel.containers}
    assert len(colours) == 2
    assert cost.get_ylabel() == "per day" and tokens.get_ylabel() == "tokens per day"
    assert cost.yaxis.get_major_formatter()(0.005) == r"\$0.005"


def test_a_series_has_one_colour_in_all_panels():
    frame = pd.concat(
        [
            tidy(DAYS, np.full(14, value), metric=metric, unit=unit, model=model, interval="day")
            for metric, unit, sizes in (("cost", "USD", (9.0, 1.0)), ("tokens", "tokens", (5.0, 50.0)))
            for model, value in zip(("opus", "haiku"), sizes, strict=True)
        ],
        ignore_index=True,
    )
    cost, tokens = (
        {bars.get_label(): bars.patches[0].get_facecolor() for bars in panel.containers}
        for panel in panels(plots.usage(frame))
    )
    assert cost == tokens


def test_a_single_time_gives_bars_by_size():
    frame = pd.DataFrame({"model": ["haiku", "opus"], "tokens": [1200, 300], "cost": [0.01, 0.2]})
    cost, tokens = panels(plots.usage(frame))
    assert [label.get_text() for label in cost.get_yticklabels()] == ["opus", "haiku"]
    assert [label.get_text() for label in tokens.get_yticklabels()] == ["haiku", "opus"]
    assert {r"\$0.01", r"\$0.20"} <= {text.get_text() for text in cost.texts}
    assert {"1.2 k tokens", "300 tokens"} <= {text.get_text() for text in tokens.texts}


def test_one_value_is_a_number_and_no_giant_bar():
    ax = plots.usage(tidy(DAYS[:1], [1_662_720.0], metric="storage", unit="bytes", basin="demo"))
    assert number(ax) == "1.66 MB" and titles(ax)[0] == "Storage" and subtitle(ax) == "basin demo"
    assert not ax.patches


def test_zero_metrics_are_one_line_that_names_them():
    zeros = [tidy(DAYS[:1], [0.0], metric=f"svc_{name}_total", unit="count") for name in ("a", "b", "c", "d", "e")]
    ax = plots.usage(pd.concat([*zeros, tidy(DAYS[:1], [7.0], metric="svc_up", unit="count")], ignore_index=True))
    assert [title for title in titles(ax) if title] == ["Up"]
    assert notes(ax) == "Zero: a total, b total, c total, d total, e total."
    alone = plots.usage(tidy(DAYS, np.zeros(14), metric="append", unit="operations", interval="day"))
    assert titles(alone) == ["Append"] and any(text.get_text() == "zero all the time" for text in alone.texts)


def test_readings_are_lines_and_amounts_of_intervals_are_bars():
    times = pd.date_range("2025-11-01", periods=50, freq="h", tz="UTC")
    gauge = plots.usage(tidy(times, np.arange(50) * 1e6, metric="storage", unit="bytes", basin="a"))
    assert len(gauge.lines) == 1 and not gauge.containers
    assert gauge.yaxis.get_major_formatter()(2e6) == "2 MB"
    amounts = plots.usage(tidy(times, range(50), metric="append", unit="operations", interval="hour"))
    assert len(amounts.containers) == 1 and not amounts.lines
    assert amounts.get_ylabel() == "operations per hour"


def test_what_is_zero_before_anything_happened_is_no_hairline():
    times = pd.date_range("2025-11-01", periods=1440, freq="min", tz="UTC")
    values = np.zeros(1440)
    values[-3:] = (5, 2, 1)
    ax = plots.usage(tidy(times, values, metric="append", unit="operations", interval="minute"))
    (bars,) = ax.containers
    assert [bar.get_height() for bar in bars][-3:] == [5, 2, 1] and len(bars) == 30
    assert "zero before 1 Nov 2025, 23:30" in subtitle(ax)


def test_usage_over_days_hours_and_in_all():
    hours = pd.date_range("2025-11-01", periods=72, freq="h", tz="UTC")
    ledger = pd.DataFrame(
        {
            "time": hours,
            "model": ["opus", "haiku"] * 36,
            "tokens": np.arange(72),
            "cost": 0.5,
            "request_id": map(str, range(72)),
        }
    )
    cost, tokens = panels(plots.usage(ledger))
    assert [bar.get_width() for bar in cost.patches] == [18.0, 18.0]
    assert sorted(bar.get_width() for bar in tokens.patches) == [1260, 1296]
    cost, tokens = panels(plots.usage(ledger, over="day"))
    assert cost.get_ylabel() == "per day" and tokens.get_ylabel() == "tokens per day"
    per_day = ledger.groupby([ledger["time"].dt.floor("D"), "model"])["tokens"].sum().unstack()
    for bars in tokens.containers:
        assert [bar.get_height() for bar in bars] == per_day[bars.get_label()].tolist()
    assert panels(plots.usage(ledger, over="hour", metric="cost"))[0].get_ylabel() == "per hour"
    # A reading is never added up over time: its newest value stands for a day.
    gauge = plots.usage(tidy(hours, np.arange(72.0), metric="storage", unit="bytes"), over="day")
    assert list(gauge.lines[0].get_ydata()) == [23, 47, 71] and "the last of each day" in subtitle(gauge)
    newest = plots.usage(tidy(hours, np.arange(72.0), metric="storage", unit="bytes"), over="total")
    assert number(newest) == "71 B"


def test_calls_are_counted_by_service():
    calls = pd.DataFrame(
        {
            "service": ["s2", "s2", "synap"],
            "op": "read",
            "started": DAYS[:3],
            "ms": 1.0,
            "bytes_in": [5, 6, 7],
            "bytes_out": 0,
        }
    )
    ax = plots.usage(calls)
    found = {
        t: sorted(bar.get_width() for bar in panel.patches) for t, panel in zip(titles(ax), panels(ax), strict=True)
    }
    assert found == {"Bytes in by service": [7, 11], "Requests by service": [1, 2]}
    assert notes(ax) == "Zero: bytes out."


def test_labels_left_out_of_by_are_added_up_and_that_is_said():
    frame = pd.concat(
        [
            tidy(DAYS[:1], [value], metric="requests_total", unit="count", method=method, status=status)
            for method, status, value in (("get", "ok", 5.0), ("get", "error", 2.0), ("put", "ok", 1.0))
        ],
        ignore_index=True,
    )
    both = plots.usage(frame)
    assert titles(both) == ["Requests total by method and status"]
    assert [label.get_text() for label in both.get_yticklabels()] == ["get · ok", "get · error", "put · ok"]
    ax = plots.usage(frame, by="method")
    assert [bar.get_width() for bar in ax.patches] == [7, 1] and "added up over status" in subtitle(ax)


def test_buckets_of_a_histogram_are_left_out_and_never_added_up():
    frame = pd.concat(
        [tidy(DAYS[:1], [float(n)], metric="seconds_bucket", unit="count", le=str(n), method="get") for n in (1, 2, 3)]
        + [tidy(DAYS[:1], [4.0], metric="up", unit="count")],
        ignore_index=True,
    )
    assert [title for title in titles(plots.usage(frame)) if title] == ["Up"]
    assert sorted(bar.get_width() for bar in plots.usage(frame, "seconds_bucket", by="method").patches) == [1, 2, 3]


def test_a_metric_can_be_named_and_a_wrong_one_is_told():
    assert titles(plots.usage(costs(), "usage_tokens")) == ["Usage tokens by model"]
    with pytest.raises(
        InputError, match=r"(?s)no metric 'usage_token' in the frame.*mean 'usage_tokens'.*'usage_cost'"
    ):
        plots.usage(costs(), "usage_token")
    with pytest.raises(InputError, match=r"(?s)by='colour': there is no such label.*there are: model"):
        plots.usage(costs(), by="colour")


def test_series_over_the_palette_are_others_in_the_back():
    parts = [tidy(DAYS, np.full(14, 30.0 - n), model=f"m{n:02}", interval="day") for n in range(30)]
    ax = plots.usage(pd.concat(parts, ignore_index=True))
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(names) == MOST_SERIES + 1 and names[0] == "22 others"
    total = sum(bar.get_height() for bars in ax.containers for bar in bars)
    assert total == pytest.approx(14 * sum(30 - n for n in range(30)))
    # Readings are not added up: each of the others is a line, behind the named ones.
    parts = [tidy(DAYS, np.full(14, 30.0 - n), metric="size", unit="bytes", model=f"m{n:02}") for n in range(30)]
    ax = plots.usage(pd.concat(parts, ignore_index=True))
    (behind,) = ax.collections
    assert len(behind.get_segments()) == 22 and behind.get_label() == "22 others"
    assert behind.get_zorder() < min(line.get_zorder() for line in ax.lines)


def test_many_bars_end_in_the_range_of_the_others():
    frame = pd.concat(
        [tidy(DAYS[:1], [40.0 - n], metric="m", unit="x", key=f"k{n}") for n in range(40)], ignore_index=True
    )
    ax = plots.usage(frame)
    assert ax.get_yticklabels()[-1].get_text() == "24 others"
    assert "1 to 24 each x" in {text.get_text() for text in ax.texts}


def test_metrics_that_there_is_no_room_for_are_named():
    frame = pd.concat(
        [tidy(DAYS[:1], [1.0 + n], metric=f"svc_m{n:02}", unit="count") for n in range(20)], ignore_index=True
    )
    ax = plots.usage(frame)
    assert [t for t in titles(ax) if t] == [f"M{n:02}" for n in range(12)]
    assert notes(ax).startswith("Not shown: m12, m13,")
    assert len([t for t in titles(plots.usage(frame, [f"svc_m{n:02}" for n in range(20)])) if t]) == 20


def test_panels_of_one_unit_share_an_axis_where_both_can_be_read():
    def two(factor):
        parts = [
            tidy(DAYS, np.arange(1, 15.0) * scale, metric=metric, unit="bytes", interval="day")
            for metric, scale in (("read", 1.0), ("append", factor))
        ]
        return panels(plots.usage(pd.concat(parts, ignore_index=True)))

    one, other = two(5.0)
    assert one.get_ylim() == other.get_ylim()
    one, other = two(5000.0)
    assert one.get_ylim() != other.get_ylim()


def test_negative_values_and_values_that_are_missing():
    frame = tidy(DAYS[:1].repeat(3), [5.0, -3.0, np.nan], metric="balance", unit="USD", account=["a", "b", "c"])
    ax = plots.usage(frame)
    assert [bar.get_width() for bar in ax.patches] == [5, -3]
    assert {r"\$5.00", r"-\$3.00"} <= {text.get_text() for text in ax.texts}
    low, high = ax.get_xlim()
    assert low < -3 and high > 5


def test_identifiers_are_cut_as_long_as_they_stay_different():
    ids = ["0123456789abcdef0123", "fedcba98765432100123"]
    frame = tidy(DAYS[:1].repeat(2), [1.0, 2.0], metric="seconds", unit="s", session_id=ids)
    ax = plots.usage(frame)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fedcba98…", "01234567…"]
    assert titles(ax) == ["Seconds by session"]


def test_hostile_labels_are_short_harmless_text():
    names = ["$\\frac{1}{0}$", "a\x1b[31m\x00", "x" * 5000, "\u202eevil", "", "<img src=x>"]
    ax = plots.usage(pd.DataFrame({"model": names, "tokens": range(1, 7)}))
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert all(len(label) < 60 and label.isprintable() for label in labels)
    assert ax._repr_mimebundle_()[0]["image/png"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: plots.usage([1]), "takes a frame"),
        (lambda: plots.usage(pd.DataFrame({"time": DAYS})), "no column 'metric', 'value', 'unit'"),
        (lambda: plots.usage(pd.DataFrame({"time": DAYS, "depth": 1})), r"(?s)over_time\(df, 'depth'\)"),
        (lambda: plots.usage(costs(), theme="blue"), "theme='blue'"),
        (lambda: plots.usage(costs(), over="week"), "over='week'"),
        (lambda: plots.usage(costs(), ax=7), "not a matplotlib Axes"),
        (lambda: plots.usage(costs(), live=True), "needs a feed"),
    ],
)
def test_wrong_input_is_told(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_every_one_of_many_series_over_days_is_among_the_others():
    """What was left over after a hundred of them became a series of its own, in front of all others."""
    names = [f"m{n:03}" for n in range(150)]
    for days in (2, 250):
        times = pd.date_range("2025-01-01", periods=days, freq="D", tz="UTC")
        frame = pd.concat([tidy(times, 1.0, unit="tokens", model=name, interval="day") for name in names])
        ax = plots.usage(frame, over="day")
        marks = [artist.get_label() for artist in (*ax.containers, *ax.lines, *ax.collections)]
        assert sorted(marks) == sorted([*names[:MOST_SERIES], f"{150 - MOST_SERIES} others"])
        assert "the last of each" not in subtitle(ax)  # these are sums


def test_amounts_are_per_the_interval_that_the_frame_states():
    """Hours in which nothing was used may be missing."""
    times = pd.date_range("2025-11-01", periods=5, freq="3h", tz="UTC")
    ax = plots.usage(tidy(times, range(5), metric="append", unit="operations", interval="hour"))
    assert ax.get_ylabel() == "operations per hour"
    (bars,) = ax.containers
    assert bars[0].get_width() < 1 / 24 and bars[1].get_x() - bars[0].get_x() == pytest.approx(3 / 24)


def test_a_reading_without_a_time_is_not_the_newest():
    frame = tidy([DAYS[0], pd.NaT], [1.0, 99.0], metric="size", unit="bytes")
    assert number(plots.usage(frame)) == "1 B"


@pytest.mark.parametrize("over", [None, "total", "day"])
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values_are_left_out_and_counted(value, over):
    models = pd.DataFrame({"model": ["haiku", "opus", "sonnet"], "cost": [1.0, value, 2.0], "tokens": [1, 2, 3]})
    ax = plots.usage(models)
    assert "cost: 1 infinite value left out." in notes(ax) and "$3.00 in all" in subtitle(ax).replace("\\", "")
    frame = pd.concat([tidy(DAYS, np.ones(14), model="haiku"), tidy(DAYS, [value, *np.ones(13)], model="opus")])
    ax = plots.usage(frame, over=over)
    assert "usage_cost: 1 infinite value left out." in notes(ax)
    ax = plots.usage(tidy(DAYS[:1], [value]))
    assert "zero" not in str([text.get_text() for text in panels(ax)[0].texts]) and "left out" in notes(ax)
