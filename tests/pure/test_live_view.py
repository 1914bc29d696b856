"""What stands still of a view, what is sent of one that moves, and what its panes do; without kernel or service."""

import re
import sys
import threading
import time

import ipywidgets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from ipywidgets.widgets.widget import _instances

import kit
from kit.core import loop
from kit.core.tables.filters import query
from kit.live import ipython
from kit.live.view.backpressure import Backpressure
from kit.live.view.table import drawing
from kit.live.view.table.changes import Changes
from kit.live.view.table.details import columns_html, hexdump, record_html, row_lines
from kit.live.view.table.order import KEPT, NUMBER, Order
from kit.live.view.table.rows_table import RowsTable

ROWS = [{"n": n, "city": ("Oslo", "Brno", "Riga")[n % 3]} for n in range(30)]


def gone(feed):
    feed.wait(timeout=10)
    return feed


def endless(rows):
    """A feed that has given its rows and is still open."""
    stop = threading.Event()

    def source():
        yield rows
        stop.wait(60)

    feed = kit.Feed(source())
    feed.wait(len(rows), timeout=10)
    return feed, stop


def numbers(html):
    body = html.partition("<tbody>")[2]
    return [int(one) for one in re.findall(r"<tr data-n=[^>]*><td[^>]*>(\d+)</td>", body)]


# --- what stands still --------------------------------------------------------------------------------------------------


def test_a_picture_that_stands_still_does_not_say_that_it_is_live():
    feed, stop = endless(ROWS)
    bundle = kit.LiveView(feed)._repr_mimebundle_()
    assert ">was live</span>" in bundle["text/html"] and "as of 20" in bundle["text/html"]
    assert "#388e3c" not in bundle["text/html"] and ", as of 20" in bundle["text/plain"]
    stop.set()
    gone(feed)
    ended = kit.LiveView(feed)._repr_mimebundle_()["text/html"]
    assert ">closed</span>" in ended and "was closed" not in ended


def test_no_colour_of_text_is_one_that_a_dark_page_hides():
    # Text is the theme's, or else the page's own.
    for colour in re.findall(r"[;{](?:color|background):([^;}]*)", drawing.STYLE):
        assert "#" not in colour, colour
    html = kit.LiveView(gone(kit.Feed(ROWS)))._repr_mimebundle_()["text/html"]
    assert "#222" not in html and "#eee" not in html


def test_words_do_not_run_together_where_there_is_no_style():
    html = kit.LiveView(gone(kit.Feed(ROWS)), title="numbers")._repr_mimebundle_()["text/html"]
    bare = re.sub(r"<[^>]*>", "", re.sub(r"(?s)<style>.*?</style>", "", html))
    assert "closed · numbers · as of" in bare and "30 rows · " in bare
    assert "n city" in bare and "29 Riga" in bare


def test_a_picture_has_no_empty_lines_for_what_may_come():
    feed = gone(kit.Feed([{"n": 1}]))
    assert RowsTable(feed.shared, 20).html().count("<tr") == 21
    html = kit.LiveView(feed)._repr_mimebundle_()["text/html"]
    assert html.count("<tr") == 2 and html.count("</table>") == 1


def test_errors_stand_apart_from_the_buttons_and_once():
    feed = gone(kit.Feed([{"n": 1}], where=lambda frame: frame["nowhere"]))
    view = kit.LiveView(feed)
    controls = view.widget
    state, trouble = controls.children[0].children[0], controls.children[2]
    assert "KeyError" not in state.value and trouble.value.count("KeyError") == 1
    assert trouble.layout.display == "block"
    view.close()


def test_a_filter_that_is_none_says_so_below_it():
    feed = gone(kit.Feed(ROWS))
    view = kit.LiveView(feed)
    _, looks, trouble, *_ = view.widget.children
    assert trouble.value == "" and trouble.layout.display == "none"
    looks.children[0].value = "n >> 3"
    assert until(lambda: "filter:" in trouble.value)
    looks.children[0].value = ""
    assert until(lambda: trouble.layout.display == "none")
    view.close()


# --- what is sent -------------------------------------------------------------------------------------------------------


def until(true, seconds=5):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_the_table_is_sent_only_when_it_changed_and_figures_apart_from_it():
    feed, stop = endless(ROWS)
    view = kit.LiveView(feed)
    _, _, _, _, figures, main, *_ = view.widget.children
    assert "30</b> rows" in figures.value and "<table" not in figures.value
    assert "<table" in main.value and "30</b> rows" not in main.value
    sent = []
    main.observe(lambda change: sent.append(change["new"]), "value")
    for _ in range(3):
        feed.shared.wake()  # as when a position or a tail is told
        time.sleep(0.15)
    assert sent == []
    view.close()
    stop.set()


def test_a_table_that_does_not_follow_stays_and_tells_what_is_newer():
    go = threading.Event()

    def source():
        yield ROWS
        go.wait(20)
        yield [{"n": 30, "city": "Oslo"}] * 7

    feed = kit.Feed(source())
    feed.wait(30, timeout=10)
    view = kit.LiveView(feed)
    bar, _, _, _, figures, main, *_ = view.widget.children
    follow = next(part for part in bar.children[1].children if isinstance(part, ipywidgets.Checkbox))
    follow.value = False
    before = main.value
    go.set()
    feed.wait(37, timeout=10)
    assert until(lambda: "7 newer" in figures.value)
    assert main.value == before
    follow.value = True
    assert until(lambda: main.value != before) and until(lambda: "newer" not in figures.value)
    view.close()


def test_a_large_table_comes_less_often():
    feed = gone(kit.Feed([{f"c{n}": n for n in range(20)}] * 200))
    view = kit.LiveView(feed, rows=200)
    assert view.widget and view._widgets._pace > 1
    small = kit.LiveView(feed, rows=5)
    assert small.widget and small._widgets._pace == 0.1
    view.close()
    small.close()


def test_a_page_is_asked_once_a_second_and_lets_no_more_than_that_be_sent(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("kit.live.view.backpressure.time.monotonic", lambda: clock[0])
    pulse = Backpressure()
    out, back, _ = pulse._models
    sent = 0
    for tick in range(31):
        clock[0] = 100 + tick / 10
        assert pulse.free()
        pulse.beat()
        if out.value > back.value and clock[0] - pulse._sent_at >= 0.1:
            sent += 1
            back.value = out.value  # as the page does
    assert 3 <= out.value <= 4
    # A page that answers no more.
    clock[0] += 1.0
    pulse.beat()
    clock[0] += 0.5
    assert pulse.free()
    clock[0] += 0.6
    assert not pulse.free()
    clock[0] += 5
    assert pulse.free()
    pulse.beat()
    assert not pulse.free()
    pulse.close()


def test_paused_it_is_not_caught_up_and_tells_how_many_wait():
    told = drawing.figures(drawing.Figures(total=3, rate=0, line=[], waiting=12, caught_up=None, lag=12))
    assert "12 wait" in told and "behind" not in told and "caught up" not in told
    feed, stop = endless(ROWS)
    view = kit.LiveView(feed)
    assert view.widget
    feed.shared.caught_up = True
    assert "caught up" in view._widgets._figures()
    feed.pause()
    assert "caught up" not in view._widgets._figures()
    view.close()
    stop.set()


# --- what a layout of one's own keeps -----------------------------------------------------------------------------------


def test_a_layout_that_holds_a_view_keeps_a_picture_of_it_when_it_is_closed():
    before = set(_instances)
    feed = gone(kit.Feed(ROWS))
    view = kit.LiveView(feed, title="mine")
    box = ipywidgets.VBox([view.widget])
    view.close()
    (kept,) = box.children
    assert kept.comm is not None, "the parent holds a closed model, which breaks the page"
    assert "30</b> rows" in kept.children[0].value and "closed" in kept.children[0].value
    assert len(set(_instances) - before) <= 7
    box.children = []
    view.close()
    assert kept.comm is None
    box.layout.close()
    box.close()
    assert set(_instances) == before


# --- sorting, columns, records, files -----------------------------------------------------------------------------------


def test_sorted_by_a_column_of_all_that_is_kept():
    page = RowsTable(gone(kit.Feed(ROWS)).shared, 4)
    page.set_order(Order("n", descending=False))
    assert numbers(page.html()) == [0, 1, 2, 3]
    page.set_order(Order("city", descending=False))
    assert numbers(page.html()) == [28, 25, 22, 19]  # of equal ones the newest first
    page.set_filter(query("city=Oslo"))
    page.set_order(Order("n", descending=True))
    assert numbers(page.html()) == [27, 24, 21, 18] and page.matching == 10
    page.set_order(None)
    page.set_filter(None)
    assert numbers(page.html()) == [29, 28, 27, 26]


def test_sorted_rows_are_exact_while_the_first_ones_leave_the_buffer():
    go = threading.Semaphore(0)

    def source():
        for start in range(0, 20_000, 2_000):
            yield [{"n": (start + n) * 7919 % 20_011} for n in range(2_000)]
            go.acquire()

    feed = kit.Feed(source(), max_rows=5_000)
    page = RowsTable(feed.shared, 20)
    page.set_order(Order("n", descending=False))
    for lot in range(1, 11):
        feed.wait(lot * 2_000, timeout=10)
        assert numbers(page.html()) == sorted(feed.df["n"])[:20]
        go.release()
    feed.close()
    order = Order("n", descending=True)
    order.take(pa.table({"n": range(KEPT + 5)}), pa.array(range(KEPT + 5)))
    assert order.first(2, kept_from=KEPT + 4) is None  # others may be next, and are not known
    assert order.first(0, kept_from=0).column(NUMBER).to_pylist() == []


def test_a_new_row_does_not_stand_where_rows_are_that_were_cut():
    order = Order("n", descending=True)
    order.take(pa.table({"n": range(2 * KEPT, 0, -1)}), pa.array(range(2 * KEPT)))
    assert order.first(5, kept_from=KEPT // 2).column("n")[0].as_py() == 2 * KEPT - KEPT // 2
    order.take(pa.table({"n": [0] * KEPT}), pa.array(range(2 * KEPT, 3 * KEPT)))
    assert order.first(5, kept_from=KEPT - 5).column("n").to_pylist() == [*range(KEPT + 5, KEPT, -1)]
    assert order.first(6, kept_from=KEPT - 5) is None  # the next one is 1000, which is not known here
    order.take(pa.table({"n": [KEPT + 3, 5]}), pa.array([3 * KEPT, 3 * KEPT + 1]))
    assert order.first(6, kept_from=KEPT - 5).column("n").to_pylist() == [1005, 1004, 1003, 1003, 1002, 1001]


@pytest.mark.parametrize(
    "values",
    [[{"a": 2}, {"a": 1}, None], [[2], [1]], [None, None], [True, False], [b"b", b"a"], np.array([2, 1], np.float16)],
)
def test_every_type_has_some_order(values):
    feed = gone(kit.Feed([{"x": value, "n": n} for n, value in enumerate(values)]))
    page = RowsTable(feed.shared, 5)
    page.set_order(Order("x", descending=False))
    assert page.html().count("<tr data-n=") == len(values)
    page.set_order(Order("nowhere", descending=True))
    assert page.html().count("<tr data-n=") == len(values)


def test_columns_are_chosen_and_come_back():
    page = RowsTable(gone(kit.Feed(ROWS)).shared, 4)
    page.html()
    assert page.shown == ["n", "city"] and list(page.names) == ["n", "city"]
    page.choose(["city"])
    assert page.html().count("<th ") == 1 and page.shown == ["city"]
    page.choose(None)
    assert page.html().count("<th ") == 2


def test_a_row_is_seen_whole():
    rows = [{"n": 1, "text": "<b>long</b> " * 500, "deep": {"a": [1, 2]}}]
    feed = gone(kit.Feed(rows))
    page = RowsTable(feed.shared, 5)
    page.html()
    html = record_html(page.records()[0], 0)
    assert "&lt;b&gt;long&lt;/b&gt; " * 500 in html and "<b>" not in html
    assert "&quot;a&quot;: [\n" in html
    table = pa.table({"raw": [b"\x00\xffabc" * 2000]})
    html = record_html(table, 0)
    assert (
        "10,000 bytes" in html and "00000000  00 ff 61" in html and html.endswith("…</pre></td></tr></tbody></table>")
    )
    assert hexdump(b"") == ""
    assert row_lines(pa.table({"a": ["x<y"]})) == ["1. x<y"]


@pytest.mark.parametrize(
    ("unit", "number", "shown"),
    [
        ("s", -1, "1969-12-31 23:59:59.000<"),
        ("ms", 1, "1970-01-01 00:00:00.001<"),
        ("us", -1, "1969-12-31 23:59:59.999999<"),
        ("ns", -1, "1969-12-31 23:59:59.999999999<"),
        ("ns", 1_500, "1970-01-01 00:00:00.0000015<"),
        ("s", -62_135_596_800, "0001-01-01 00:00:00.000<"),
        ("s", -(10**12), "-29719-04-05 22:13:20<"),
        ("s", 10**13, "10000000000000&gt;<"),
    ],
)
def test_a_time_of_a_row_has_all_its_digits(unit, number, shown):
    assert shown in record_html(pa.table({"t": pa.array([number], pa.timestamp(unit))}), 0)
    zoned = record_html(pa.table({"t": pa.array([number, None], pa.timestamp(unit, "UTC"))}), 0)
    assert shown.rpartition(".")[2].rstrip("<") in zoned


def test_what_is_in_columns():
    table = pa.table(
        {
            "n": [1, 2, None, 4],
            "city": ["a", "b", "b", "<i>"],
            "none": pa.nulls(4),
            "deep": [[1], None, [2], []],
            "big": [1e308, -1e308, float("nan"), float("inf")],
            "raw": [b"\xff", b"a", b"a", None],
            "large": pa.array([2**63, 2**63 + 1, 2**63 + 1, 2**63 + 1], pa.uint64()),
            "clock": pa.array([1, 2, 3, None], pa.time32("s")),
            "half": np.array([1, 2, 3, 4], np.float16),
            "some": [2.0, float("nan"), 1.0, None],
        }
    )
    html = columns_html(table)
    assert re.search(r">some</th> <td[^>]*>1</td> <td[^>]*>3</td> <td[^>]*>1.0</td> <td[^>]*>2.0</td>", html)
    large = html.partition(">large<")[2].partition("</tr>")[0]
    assert large.count("<rect") == 2  # a float does not tell them apart
    assert html.count("<tr>") == 11 and "<i>" not in html and "4 rows in the buffer" in html
    assert re.search(r">n</th> <td[^>]*>1</td> <td[^>]*>3</td> <td[^>]*>1</td> <td[^>]*>4</td> <td[^>]*><svg", html)


def test_rows_are_saved(tmp_path):
    feed = gone(kit.Feed([{"n": 1, "raw": b"\xff", "tags": ["a"]}, {"n": 2, "raw": None, "tags": None}]))
    view = kit.LiveView(feed)
    path = view.save(tmp_path / "rows.parquet")
    assert pa.parquet.read_table(path).column("n").to_pylist() == [1, 2]
    assert view.save(tmp_path / "rows.csv").read_text().splitlines() == [
        '"n","raw","tags"',
        '1,"base64:/w==","[""a""]"',
        "2,,",
    ]
    with pytest.raises(kit.KitError, match=r"neither CSV nor Parquet"):
        view.save(tmp_path / "rows.xlsx")
    with pytest.raises(kit.KitError, match="there is no folder"):
        view.save(tmp_path / "nowhere" / "rows.csv")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["rows.csv", "rows.parquet"]


def test_panes_open_one_at_a_time_and_leave_nothing():
    view = kit.LiveView(gone(kit.Feed(ROWS)))
    looks, place = view.widget.children[1], view.widget.children[3]
    names = {part.description: part for part in looks.children[-1].children}
    before = set(_instances)
    names["Columns"].click()
    chosen, wide, told = place.children
    assert chosen.value == ("n", "city") and until(lambda: "<table" in told.value)
    chosen.value = ("city",)
    assert until(lambda: view._widgets.page.shown == ["city"])
    assert wide.value == view._widgets.page.widest
    wide.value = 12
    assert view._widgets.page.widest == 12
    names["Record"].click()
    rows, told = place.children
    assert "29" in told.value and len(rows.options) == 20
    rows.value = 1
    assert "28" in told.value
    names["Record"].click()
    assert place.children == () and set(_instances) == before
    view.close()


def page_tells(view, what, page="page"):
    field = view._widgets._controls.page.field
    before, *told = field.value.split("|")
    told = [*(told if before == page else []), f"{time.monotonic_ns()} {what}"][-8:]
    field.value = "|".join([page, *told])


def test_a_row_that_is_clicked_is_seen_whole_though_it_has_moved_on(given):
    source = given(max_rows=30)
    source.put(*ROWS)
    source.feed.wait(30, timeout=10)
    view = kit.LiveView(source.feed, rows=5)
    place = view.widget.children[3]
    page_tells(view, "row 28")
    rows, told = place.children
    assert rows.value == 1 and ">28</pre>" in told.value
    page_tells(view, "row 3")  # it is not among the five that are shown
    rows, told = place.children
    assert rows.value == 0 and ">3</pre>" in told.value and len(rows.options) == 6
    source.put({"n": 30, "city": "Oslo"})
    source.feed.wait(31, timeout=10)
    page_tells(view, "row 0")
    assert "no longer kept" in place.children[1].value
    page_tells(view, "row x")
    view.close()


def test_a_row_of_a_result_that_was_replaced_is_still_seen_whole(given):
    source = given()
    source.put(*ROWS)
    source.feed.wait(30, timeout=10)
    latest = source.feed.newest_by("city")
    latest.wait(3, timeout=10)
    view = kit.LiveView(latest, rows=5)
    place = view.widget.children[3]
    page_tells(view, "hold")
    shown = view._widgets._controls.main.value
    number = re.search(r'data-n="(\d+)"><td[^>]*>29<', shown)[1]
    before = latest.shared.version
    source.put({"n": 99, "city": "Riga"})
    assert until(lambda: latest.shared.version > before and 99 in latest.df["n"].tolist())
    page_tells(view, f"row {number}")
    assert ">29</pre>" in place.children[1].value
    view.close()


def test_rows_stand_still_while_text_is_marked_and_what_nobody_sees_is_seldom_painted(given):
    source = given()
    source.put(*ROWS)
    source.feed.wait(30, timeout=10)
    view = kit.LiveView(source.feed)
    main, _, changes = view.widget.children[5:8]

    def painted(n, seconds):
        def look():
            view._widgets._timer.look_up()  # as when a page answers
            return f">{n}</td>" in main.value + changes.value

        return until(look, seconds)

    def comes(n):
        source.put({"n": n, "city": "Oslo"})
        return painted(n, 1)

    page_tells(view, "hold")
    assert not comes(100)
    page_tells(view, "go")
    assert painted(100, 5)
    page_tells(view, "unseen", "one")
    time.sleep(0.2)
    assert not comes(101)
    page_tells(view, "seen", "another")
    assert painted(101, 3) and comes(102)
    page_tells(view, "unseen", "another")
    time.sleep(0.2)
    assert not comes(103)
    assert painted(103, 8)  # seldom, and not never
    view.close()


def test_of_a_table_only_new_rows_are_sent_to_a_page_that_takes_them_in():
    changes = Changes()

    def table(numbers, text="of many", empty=0):
        rows = [f'<tr data-n="{n}"><td>row {n} {text}</td> </tr>' for n in numbers]
        return drawing.rows_table([], rows, "rows", empty)

    whole = changes.whole(table(range(9, 3, -1)))
    assert 'data-number="1"' in whole and changes.same(table(range(9, 3, -1)))
    new = changes.since(table(range(11, 5, -1)))
    assert 'data-of="1" data-to="2" data-order="11,10,9,8,7,6"' in new
    assert re.findall(r'<tr data-n="(\d+)">', new) == ["11", "10"]
    # Another text in a row, and another order.
    assert re.findall(
        "row .* (?:one|many)", changes.since(table([11, 10, 9, 8, 7]).replace("9 of many", "9 of one"))
    ) == ["row 9 of one"]
    assert 'data-order="7,8,9,10,11"><tbody></tbody>' in changes.since(
        table([7, 8, 9, 10, 11]).replace("9 of many", "9 of one")
    )
    # Other empty rows, most rows, what a page asks for: the whole.
    assert changes.since(table([7, 8, 9, 10, 11], empty=1)) is None
    assert changes.since(table([1, 2, 3, 10, 11])) is None
    changes.wanted_whole = True
    assert changes.since(table([7, 8, 9, 10, 11])) is None and not changes.same(table([7, 8, 9, 10, 11]))


def test_a_page_that_listens_gets_changes_and_the_whole_when_it_asks(given):
    source = given()
    source.put(*ROWS)
    source.feed.wait(30, timeout=10)
    view = kit.LiveView(source.feed)
    main, _, changes = view.widget.children[5:8]

    def comes(n):
        """Where a row arrives: in the table, or among what is new in it."""
        source.put({"n": n, "city": "Oslo"})

        def look():
            view._widgets._timer.look_up()  # as when a page answers
            return any(f">{n}</td>" in part.value for part in (main, changes))

        assert until(look, 5)
        return "changes" if f">{n}</td>" in changes.value else "table"

    assert comes(100) == "table"  # no page has told that it takes anything else
    page_tells(view, "seen")
    assert comes(101) == "changes" and changes.value.count("<tr") == 1
    page_tells(view, "whole")
    assert until(lambda: ">101</td>" in main.value)
    assert comes(102) == "changes"
    time.sleep(5)  # one that runs no script may be there beside it
    assert comes(103) == "table"
    view.close()


def test_columns_are_as_wide_as_one_wants():
    page = RowsTable(gone(kit.Feed([{"n": 1, "text": "x" * 200, "more": "y" * 30}])).shared, 4)
    wide = lambda: int(re.search(r"max\(100%,(\d+)ch\)", page.html())[1])  # noqa: E731
    assert wide() == 5 + 42 + 32
    page.set_widest(12)
    assert wide() == 5 + 12 + 12
    page.set_widest(120)
    assert wide() == 5 + 120 + 32


def test_one_feed_in_two_views_each_with_its_own_filter():
    feed = gone(kit.Feed(ROWS))
    one, other = kit.LiveView(feed), kit.LiveView(feed)
    for view, text in ((one, "city=Oslo"), (other, "n > 27")):
        view.widget.children[1].children[0].value = text
    assert until(lambda: "10 match" in one.widget.children[4].value and "2 match" in other.widget.children[4].value)
    one.close()
    other.close()


def test_where_there_is_no_notebook_one_sentence_says_what_works(monkeypatch, capsys):
    view = kit.LiveView(gone(kit.Feed(ROWS)))
    view._ipython_display_()
    assert "view.watch()" in capsys.readouterr().out
    view.watch(1)
    assert "30 rows" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "marimo", ipython)
    assert "marimo" in ipython.elsewhere()
    monkeypatch.delitem(sys.modules, "marimo")
    monkeypatch.setitem(sys.modules, "google.colab", ipython)
    monkeypatch.setattr(ipython, "kernel", lambda: object())
    assert "In Colab" in ipython.elsewhere()
    shown = kit.LiveView(gone(kit.Feed(ROWS)))
    assert "In Colab" in shown.widget.children[6].value
    shown.close()
    monkeypatch.delitem(sys.modules, "google.colab")
    assert ipython.elsewhere() == ""
    monkeypatch.setattr("sys.platform", "emscripten")
    assert "Pyodide" in ipython.elsewhere()
    monkeypatch.setattr(loop, "_portal", None)
    with pytest.raises(kit.KitError, match="Pyodide has no threads"):
        kit.Feed(ROWS)
