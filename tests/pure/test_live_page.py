"""What a view draws: bounded, escaped, steady; without widgets, kernel or service."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

import kit
from kit.core.tables.filters import query
from kit.live.view.table import drawing
from kit.live.view.table.rows_table import MOST_COLUMNS, RowsTable
from kit.live.view.table.values import cells

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</td><script>alert(1)</script>",
    "\x1b[31mred",
    "a\x00b",
    "\u202egnp.exe",
    "'\"><svg onload=alert(1)>",
    "line\nline\r\n\tline",
    "x" * 10_000_000,
    "\u0085\u2028\u2029",
    "é" * 5000,
    "👩‍👩‍👧" * 300,
]
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC).astimezone()


def table_of(rows):
    feed = kit.Feed(rows)
    feed.wait(timeout=10)
    return feed


def column(values, kind=None):
    return cells(pa.chunked_array([pa.array(values, kind)]), NOW)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", ["text", "bytes", "list", "object"])
def test_whatever_comes_is_short_harmless_text(text, kind):
    value = {"text": text, "bytes": text.encode(), "list": [text[:5000]], "object": {text[:5000]: text[:5000]}}[kind]
    (cell,) = column([value])
    for shown in (cell.text, cell.title):
        assert "<" not in shown and '"' not in shown and shown.isprintable(), shown[:100]
    assert len(cell.text) < 2500 and len(cell.title) < 15_000 and cell.width <= 121


def test_values_of_each_kind():
    assert [cell.text for cell in column([b"\xff\x00", b"plain", None, b"\x80" * 100])] == [
        "0xff00", "plain", "", "0x" + "80" * 24 + "…",
    ]  # fmt: skip
    assert column([b"\x80" * 100])[0].title.endswith("… (100 bytes)")
    assert [cell.text for cell in column([1.5, 0.1 + 0.2, float("nan"), None])] == ["1.5", "0.3", "nan", ""]
    assert column([0.1 + 0.2])[0].title == "0.30000000000000004"
    assert [cell.text for cell in column([True, None, False])] == ["true", "", "false"]
    assert [cell.text for cell in column([2**64 - 1], pa.uint64())] == ["18446744073709551615"]
    assert [cell.text for cell in column([None, None], pa.null())] == ["", ""]
    assert [cell.text for cell in column([{"a": [1, None]}])] == ["{&quot;a&quot;: [1, null]}"]


def test_times_are_local_with_the_date_where_it_is_another_day():
    kind = pa.timestamp("ms", "UTC")
    today, other = column([NOW, NOW - timedelta(days=3)], kind)
    assert today.text == f"{NOW:%H:%M:%S}.000" and other.text == f"{NOW - timedelta(days=3):%Y-%m-%d %H:%M:%S}.000"
    assert today.title == NOW.isoformat(sep=" ", timespec="milliseconds")
    late = cells(pa.chunked_array([pa.array([2**60], pa.int64()).cast(kind)]), NOW)
    assert late[0].text == ""
    early = cells(pa.chunked_array([pa.array([-(2**60), -62_135_596_800_000], pa.int64()).cast(kind)]), NOW)
    assert early[0].text == "" and early[1].text.startswith("0001-01-01 ")


def test_columns_stay_where_they_are_while_rows_change():
    feed = table_of([[{"a": n} for n in range(5)]])
    page = RowsTable(feed.shared, 5)
    first = page.html()
    assert first.count("<tr data-n=") == 5 and page.html() == first
    feed.close()
    feed = table_of([[{"a": 1}], [{"b": 2}], [{"c": 3, "a": "<b>"}]])
    page = RowsTable(feed.shared, 10)
    html = page.html()
    assert [html.index(f">{name}</th>") for name in "abc"] == sorted(html.index(f">{name}</th>") for name in "abc")
    assert html.count('<tr aria-hidden="true">') == 7 and "&lt;b&gt;" in html and "<b>" not in html
    # The newest row is the first.
    assert html.index("&lt;b&gt;") < html.index(">2</td>")


def test_a_table_of_very_many_keys_is_bounded_and_says_so():
    feed = table_of([[{f"<k{n}>": n for n in range(5000)}]])
    html = RowsTable(feed.shared, 20).html()
    assert html.count("<th ") == MOST_COLUMNS and f"{5000 - MOST_COLUMNS:,} more columns" in html
    assert len(html) < 60_000 and "<k" not in html


def test_the_views_filter_looks_back_and_counts():
    feed = table_of([[{"n": n, "city": "Oslo" if n % 2 else "Brno"} for n in range(1000)]])
    page = RowsTable(feed.shared, 10)
    page.set_filter(query("city=Oslo and n > 900"))
    html = page.html()
    assert page.matching == 50 and html.count("<tr data-n=") == 10 and ">999</td>" in html and ">998</td>" not in html
    page.set_filter(query("brno"))
    page.html()
    assert page.matching == 500
    page.set_filter(lambda table: 1 / 0)
    assert ">999</td>" in page.html()
    assert "ZeroDivisionError" in str(feed.problems[0])
    page.clear()
    assert "<td>999" not in page.html()


def test_the_views_filter_says_what_it_cannot_find():
    page = RowsTable(table_of([[{"n": 1, "total": 2}]]).shared, 10)
    page.set_filter(query("totl > 1"))
    page.html()
    assert "did you mean 'total'?" in str(page.lacking)
    page.set_filter(query("total > 1"))
    assert ">2</td>" in page.html() and page.lacking is None
    page.set_filter(query('"total >> 1"'))
    page.html()
    assert page.lacking is None and page.matching == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=3", [3]),
        ("n == 3", [3]),
        ("n<2", [0, 1]),
        ("n >= 8 and city!=Oslo", [8]),
        ("city='Oslo' and n<4", [1, 3]),
        ("OSLO", [1, 3, 5, 7, 9]),
        ("when > 2026-01-05T00:00:00Z", [5, 6, 7, 8, 9]),
        ("when > 2026-01-05T12:00 and n<6", [5]),
        ("raw=b7", [7]),
        ("missing=1", []),
        ("missing > 1", []),
        ("missing=null and n<1", [0]),
        ("n=x", []),
        ("n > x", []),
        ("deep", list(range(10))),
        ("paid=true and n<3", [0, 2]),
        ("(", []),
    ],
)
def test_what_stands_in_the_filter_box(text, expected):
    table = pa.table(
        {
            "n": pa.array(range(10)),
            "city": ["Oslo" if n % 2 else "Brno" for n in range(10)],
            "when": pa.array([datetime(2026, 1, n + 1, tzinfo=UTC) for n in range(10)], pa.timestamp("ms", "UTC")),
            "raw": [b"b%d" % n for n in range(10)],
            "nested": [{"deep": n} for n in range(10)],
            "paid": [n % 2 == 0 for n in range(10)],
        }
    )
    assert [n for n, told in enumerate(query(text)(table).tolist()) if told] == expected


def test_figures_say_what_one_should_know():
    quiet = drawing.figures(drawing.Figures(total=1234, rate=0, line=[0] * 60, caught_up=True, lag=0))
    assert "1,234</b> rows" in quiet and "caught up" in quiet and "behind" not in quiet and "buffer" not in quiet
    loud = drawing.figures(
        drawing.Figures(
            total=1, rate=1e6, line=[1, float("nan"), -1, 2], lag=7, dropped=3, skipped=4, gaps=5, matching=6
        )
    )
    for told in ("7 behind", "3 left the buffer", "4 skipped while paused", "5 gaps", "6 match", "1,000,000"):
        assert told in loud
    assert "nan" not in loud


def test_state_is_a_polite_live_region_and_nothing_else_is():
    line = drawing.state_line("failed", "<what>")
    assert 'role="status" aria-live="polite"' in line and "<what>" not in line
    told = drawing.errors(["<b>boom</b>\n" * 100])
    assert "<b>" not in told and len(told) < 2500
    feed = table_of([{"n": 1}])
    # A picture that stands still has nothing to announce.
    html = kit.LiveView(feed)._repr_mimebundle_()["text/html"]
    assert "aria-live" not in html and 'aria-label="newest rows of' in html and 'scope="col"' in html


def test_a_view_without_a_kernel(capsys):
    feed = table_of([{"n": n} for n in range(3)])
    with kit.LiveView(feed, title="numbers") as view:
        view._ipython_display_()
        assert "3 rows" in capsys.readouterr().out
        bundle = view._repr_mimebundle_()
        assert "3</b> rows" in bundle["text/html"] and "numbers" in bundle["text/html"]
        assert bundle["text/plain"].startswith("<LiveView of list, closed: 3 rows")
        assert view.df["n"].tolist() == [0, 1, 2] and json.dumps(view.stats(), default=str)
    assert feed.state == "closed"
    for rows in (0, 201, True, "5"):
        with pytest.raises(kit.KitError):
            kit.LiveView(feed, rows=rows)


def test_problems_are_shown_with_their_line():
    feed = kit.Feed([{"n": 1}], where=lambda frame: frame["nowhere"])
    feed.wait(timeout=10)
    html = kit.LiveView(feed)._repr_mimebundle_()["text/html"]
    assert "KeyError" in html and "test_live_page.py, line" in html


def test_models_are_all_freed():
    from ipywidgets.widgets.widget import _instances

    from kit.live.view.controls import Controls

    feed = table_of([{"n": 1}])
    before = set(_instances)
    views = [kit.LiveView(feed) for _ in range(60)]
    for view in views:
        assert view.widget.model_id
    assert len(_instances) > len(before) + 60 * 8
    for view in views:
        view.close()
        view.close()
    assert set(_instances) == before and not feed.shared.watched
    assert Controls is not None


@pytest.mark.parametrize(
    ("text", "values", "kind", "wanted"),
    [
        ("n > 0.5", [2**53 + 1, 0, None], pa.int64(), [True, False, False]),
        ("n > -1", [0, 2**64 - 1], pa.uint64(), [True, True]),
        ("n >= 18446744073709551616", [2**64 - 1, 3], pa.uint64(), [False, False]),
    ],
)
def test_numbers_are_compared_also_where_no_type_of_arrow_holds_both(text, values, kind, wanted):
    assert query(text)(pa.table({"n": pa.array(values, kind)})).tolist() == wanted
