"""Every metric that every service gives, drawn: each number in the picture stands in the frame."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

import kit
from kit.plots.measures import TIDY
from kit.plots.numbers import human, word

pytestmark = pytest.mark.lab

LABELLESS = {*TIDY, "interval"}
S2_SETS = ("storage", "append-ops", "read-ops", "append-throughput", "read-throughput", "basin-ops")


def frames(lab):
    """Frames of metrics by the name of what gives them, after something has been done with each service."""
    basin = lab.s2["demo-shop"]
    basin["orders"].append([{"id": 1, "city": "Graz"}])
    basin["orders"].tail(3)
    lab.claude.ask("hello")
    for task in ("Summarise the week", "Summarise the month"):
        lab.amdahl.run("researcher", task, seconds=0.2)
    found = {name: getattr(lab, name).metrics() for name in ("kimberlite", "synap", "claude", "amdahl")}
    found |= {f"s2 {kind}": lab.s2.metrics(kind) for kind in ("active-basins", "account-ops")}
    found |= {f"s2 {kind}": lab.s2.metrics(kind, basin="demo-shop") for kind in S2_SETS}
    return found | {"s2 stream": lab.s2.metrics("storage", basin="demo-shop", stream="orders")}


@pytest.fixture(scope="module")
def lab():
    """A lab of their own, since they write to it."""
    with kit.Lab(join=False) as lab:
        yield lab


@pytest.fixture(scope="module")
def metrics(lab):
    for model in ("haiku", "sonnet"):  # the demo data may have one model alone on the first day of a month
        lab.claude.ask("Count to 3", model)
    return frames(lab)


def drawn(panel):
    """What a panel shows: the numbers of each series, and those that are written out."""
    numbers = {}
    for bars in panel.containers:
        sizes = [bar.get_width() if bars.orientation == "horizontal" else bar.get_height() for bar in bars]
        if bars.get_label() != "_rest":
            numbers.setdefault(bars.get_label(), []).extend(sizes)
    for line in panel.lines:
        if panel.get_xaxis().get_visible():
            numbers.setdefault(line.get_label(), []).extend(y for y in line.get_ydata() if np.isfinite(y))
    for group in panel.collections:
        for segment in getattr(group, "get_segments", list)():
            numbers.setdefault("others", []).extend(y for _, y in segment)
    written = [text.get_text() for text in panel.texts if text.get_gid() == "number"]
    return numbers, written


def check(panel, part):
    """That each number stands in the rows of one metric, and each series in their labels."""
    values = {*part["value"].dropna()}
    labels = {str(value) for name in part.columns if name not in LABELLESS for value in part[name].dropna()}
    numbers, written = drawn(panel)
    for series, found in numbers.items():
        assert {*found} <= values | {0.0}, (series, found)
        shown = series.removesuffix("…").replace("…", "")
        assert (
            series.startswith("_")
            or series in ("others", "all")
            or all(any(label.startswith(word.removesuffix("…")) for label in labels) for word in shown.split(" · "))
        ), series
    unit = str(part["unit"].iloc[0])
    for text in written:
        assert text.replace("\\$", "$") in {f"{human(v, unit)} {word(unit)}".strip() for v in values} | {
            f"{v:,.0f}" for v in values
        }
    return sum(map(len, numbers.values())) + len(written)


def test_each_drawn_number_stands_in_the_frame(metrics):
    seen = 0
    for source, frame in metrics.items():
        for (metric, unit), part in frame.groupby(["metric", "unit"], dropna=False):
            ax = kit.plots.usage(frame[frame["unit"] == unit], metric)
            (panel,) = [one for one in ax.get_figure().axes if one.axison or one.texts]
            count = check(panel, part)
            if (part["value"] != 0).any():
                assert count, (source, metric)
                # All of the series are there, none is left out in silence.
                labels = [name for name in part.columns if name not in LABELLESS]
                series = len(part[labels].drop_duplicates())
                nonzero = part[part["value"] != 0]
                numbers, written = drawn(panel)
                assert {*nonzero["value"]} <= {v for found in numbers.values() for v in found} or written, (
                    source,
                    metric,
                )
                assert series == 1 or len(numbers) == series or "others" in numbers, (source, metric, series, numbers)
            else:
                assert not count and any("zero" in text.get_text() for text in panel.texts), (source, metric)
            seen += 1
    assert seen > 60


def test_the_plot_of_a_whole_frame_has_a_panel_for_each_metric(metrics):
    from kit.plots.measures import in_words, measures

    for source, frame in metrics.items():
        figure = kit.plots.usage(frame).get_figure()
        told = " ".join(text.get_text() for text in reversed(figure.texts)).lower()
        names = {each.name: each.metric for each in measures(frame, None, None, None)[0]}
        for panel in figure.axes:
            title = panel.get_title(loc="left").replace("\n", " ").replace("\\$", "$")
            if title:
                name = max((one for one in names if title.startswith(one)), key=len)
                check(panel, frame[frame["metric"] == names.pop(name)])
        # What has no panel is named below.
        assert all(name.lower() in told for name in names), (source, names, told)
    assert in_words("a_b") == "A b"


def test_budget_and_usage_are_different_things(metrics):
    ax = kit.plots.usage(metrics["claude"])
    titles = [panel.get_title(loc="left").replace("\n", " ") for panel in ax.get_figure().axes]
    assert [title for title in titles if title] == [
        "Usage cost by model",
        "Usage tokens by model",
        "Budget limit",
        "Budget remaining",
    ]


def test_a_queue_over_time(lab):
    with lab.synap.watch_queue("jobs", "mails", every=0.05) as view:
        view.wait(8, timeout=20)
        ax = kit.plots.over_time(view, "depth")
        assert ax.get_title(loc="left") == "Depth by queue"
        depths = view.df.groupby("queue")["depth"].apply(set).to_dict()
        assert {
            line.get_label(): {*map(int, line.get_ydata())} for line in ax.lines if line.get_label()[0] != "_"
        } == depths


def test_a_log_and_a_feed_are_taken_as_they_are(lab):
    orders = lab.s2["demo-shop"]["orders"]
    ax = kit.plots.throughput(orders, "total", every="1D", how="sum")
    per_day = orders.read(limit=100_000).dropna(subset=["total"]).set_index("time")["total"].resample("1D").sum()
    assert [bar.get_height() for bar in ax.containers[0]] == pytest.approx(per_day.tolist())
    with orders.live("tail-200") as view:
        view.wait(200, timeout=20)
        by_city = kit.plots.throughput(view, by="city", every="1h")
        assert {line.get_label() for line in by_city.lines} <= {*view.df["city"].dropna(), "(none)", "_unfinished"}
        arrived = kit.plots.throughput(view)
        assert arrived.get_ylabel() == "rows per second" and arrived.lines


def test_the_ledger_by_day(lab):
    lab.claude.ask("hello")
    ledger = lab.claude.ledger()
    ax = kit.plots.usage(ledger, "tokens", over="day")
    assert sum(bar.get_height() for bars in ax.containers for bar in bars) == ledger["tokens"].sum()
    today = datetime.now(UTC)
    assert all(bars.patches[-1].get_hatch() for bars in ax.containers)  # the day is not over
    assert ax.get_ylabel() == "tokens per day" and str(today.year) in ax.get_figure().get_label()


def test_calls(lab):
    calls = kit.calls()
    ax = kit.plots.usage(calls, "requests")
    expected = calls.groupby("service").size().sort_values(ascending=False)
    assert [bar.get_width() for bar in ax.patches] == expected.tolist()
    assert kit.plots.latency().get_title(loc="left").startswith("Latency of ")
    assert isinstance(calls, pd.DataFrame)
