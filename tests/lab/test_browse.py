"""Trees to browse: what they list, read and watch, on each service; and what an error in a branch does."""

import time
from types import SimpleNamespace

import ipywidgets
import pandas as pd
import pytest

import kit
from kit.live import ipython
from kit.live.browse.browser import Browser, variable_of
from kit.live.browse.panel import Panel
from kit.live.browse.tree import MOST, Node, Tree, hidden
from kit.live.view.lookup import frame_html

pytestmark = pytest.mark.lab


def find(tree, *names):
    branch = tree.top
    tree.unfold(branch)
    for name in names:
        branch = next(one for one in branch.branches if one.node.name == name)
        tree.unfold(branch)
    return branch.node


def tree_of(explorer):
    return Tree(explorer.browse()._tree.root)


@pytest.mark.parametrize(
    ("service", "path", "rows"),
    [
        ("s2", ("demo-shop", "orders"), 100),
        ("kimberlite", ("streams", "claims"), 100),
        ("kimberlite", ("tables", "invoices"), 100),
        ("synap", ("rooms", "vans"), 100),
        ("synap", ("keys", "van:"), 40),
        ("amdahl", ("interactions",), 100),
        ("amdahl", ("pages", "Open cases", "open_by_account"), 20),
    ],
)
def test_what_there_is_can_be_read(lab, service, path, rows):
    node = find(tree_of(getattr(lab, service)), *path)
    assert isinstance(node.read(100), pd.DataFrame)
    assert len(node.read(100)) == rows
    assert node.details is None or node.details()
    names = {"s2": "s2", "kimberlite": "k", "synap": "syn", "amdahl": "a"}
    # The code that is shown gives the thing that is meant.
    assert eval(node.code, {names[service]: getattr(lab, service)}) is not None


def test_a_queue_has_figures_and_no_reading(lab):
    node = find(tree_of(lab.synap), "queues", "jobs")
    assert node.read is None
    assert "depth" in node.details()


def test_a_stream_can_be_watched(lab):
    stream = lab.s2["demo-shop"].create("browsed")
    view = find(tree_of(lab.s2), "demo-shop", "browsed").live()
    try:
        stream.append([b'{"a": 1}'])
        assert len(view.wait(n=1, timeout=20).df) == 1
    finally:
        view.close()
        lab.s2["demo-shop"].delete("browsed")


def test_a_view_that_is_paused_tells_how_many_wait(lab):
    stream = lab.s2["demo-shop"].create("paused")
    view = stream.live()
    try:
        stream.append([b'{"a": 1}'])
        view.wait(n=1, timeout=20)
        figures = view.widget.children[4]
        view.pause()
        stream.append([b'{"a": 2}'] * 7)
        deadline = time.monotonic() + 15
        while "7 wait" not in figures.value and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "7 wait" in figures.value and "caught up" not in figures.value
    finally:
        view.close()
        lab.s2["demo-shop"].delete("paused")


def test_without_widgets_it_tells_its_first_level(lab):
    browser = lab.s2.browse()
    assert "basin demo-shop" in repr(browser)
    assert "s2[&#x27;demo-shop&#x27;]" in browser._repr_mimebundle_()["text/html"]


def numbered(count):
    return Node("root", "r", "r", children=lambda: [Node(f"n{i:04}", "x", f"r[{i}]") for i in range(count)])


def test_a_long_branch_is_cut_and_searched():
    tree = Tree(numbered(5000))
    tree.unfold(tree.top)
    assert len(tree.shown()) == MOST + 1
    assert hidden(tree.top) == 5000 - MOST
    assert [one.node.name for one in tree.shown("n4711")][1:] == ["n4711"]


def test_an_error_in_a_branch_is_kept_and_can_be_tried_again():
    answers = [OSError("away"), [Node("late", "x", "x")]]

    def children():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    tree = Tree(Node("root", "r", "r", children=children))
    tree.unfold(tree.top)
    assert tree.top.trouble == "OSError: away" and tree.top.branches == []
    tree.unfold(tree.top, again=True)
    assert tree.top.trouble == "" and [one.node.name for one in tree.top.branches] == ["late"]


def test_what_is_in_it_is_named_as_the_user_has_it():
    nodes = [Node("a", "x", "s2['a']"), Node("b", "x", "s2s.other()")]
    tree = Tree(Node("root", "r", "s2", children=lambda: nodes))
    tree.called("lab.s2")
    tree.unfold(tree.top)
    assert [one.node.code for one in tree.shown()] == ["lab.s2", "lab.s2['a']", "s2s.other()"]
    tree.unfold(tree.top, again=True)
    assert tree.top.branches[0].node.code == "lab.s2['a']"


def test_what_was_open_stays_open_when_asked_anew():
    inner = Node("inner", "x", "x", children=lambda: [Node("leaf", "x", "x")])
    tree = Tree(Node("root", "r", "r", children=lambda: [inner]))
    tree.unfold(tree.top)
    tree.unfold(tree.top.branches[0])
    tree.unfold(tree.top, again=True)
    assert [one.node.name for one in tree.shown()] == ["root", "inner", "leaf"]


class Pressed(Browser):
    """A browser with its panel, as a notebook would have it."""

    def __init__(self, root):
        super().__init__(root)
        self._panel = Panel(self)
        self._do(lambda turn: self._show(turn, self._tree.top))

    def settle(self):
        deadline = time.monotonic() + 10
        while self._panel.working.value and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not self._panel.working.value


def widget_count():
    return len(ipywidgets.Widget.widgets if hasattr(ipywidgets.Widget, "widgets") else ipywidgets.widget._instances)


def test_choosing_and_pressing(lab):
    browser = Pressed(lab.kimberlite.browse()._tree.root)
    panel = browser._panel
    browser.settle()
    assert [label.strip("\u2003▸▾ ") for label, _ in panel.tree.options] == ["Kimberlite", "streams", "tables"]
    assert panel.read.disabled and panel.live.disabled
    panel.tree.value = panel.tree.options[1][1]
    browser.settle()
    assert "claims" in str(panel.tree.options)
    panel.tree.value = next(path for label, path in panel.tree.options if "claims" in label)
    browser.settle()
    assert "PHI" in panel.about.value and not panel.live.disabled
    panel.filter.value = "logi"
    assert "claims" not in str([label for label, _ in panel.tree.options])
    browser.close()
    browser.close()


def test_finding_and_profiling(lab, monkeypatch):
    left = {}
    monkeypatch.setattr(ipython, "shell", lambda: SimpleNamespace(user_ns=left))
    browser = Pressed(lab.s2.browse()._tree.root)
    panel = browser._panel
    browser.settle()
    assert panel.find.disabled and panel.profile.disabled and panel.words.disabled
    for name in ("demo-shop", "orders"):
        panel.tree.value = next(path for label, path in panel.tree.options if name in label)
        browser.settle()
    # What is chosen opens; its button closes it, and opens it again.
    basin = browser._chosen.path[:-2]
    panel.tree.value = basin
    browser.settle()
    for shown in (False, True):
        panel.fold.click()
        browser.settle()
        assert ("orders" in str(panel.tree.options)) == shown
    panel.tree.value = next(path for label, path in panel.tree.options if "orders" in label)
    browser.settle()
    assert not panel.find.disabled and not panel.words.disabled
    panel.find.click()
    browser.settle()
    assert "what to look for" in panel.about.value
    for words, kind in (("c-0", "text"), ("$.total > 100", "path"), ("total > 100", "where")):
        panel.words.value = words
        panel.find.click()
        browser.settle()
        assert f"{kind}=" in panel.about.value and "were looked at" in panel.about.value
        [frame] = left.values()
        assert len(frame) == 100 and frame.kit.scan.newest_first
    panel.words.value = "$.total >"
    panel.find.click()
    browser.settle()
    assert "cannot be understood" in panel.about.value
    panel.profile.click()
    browser.settle()
    assert "kit-profile" in panel.about.value and left["orders_profile"].records == 5000
    browser.close()


def test_a_view_finds_and_profiles_in_the_log_that_it_follows(lab, monkeypatch):
    left = {"orders_found": "somebody's own"}
    monkeypatch.setattr(ipython, "shell", lambda: SimpleNamespace(user_ns=left))
    view = lab.s2["demo-shop"]["orders"].live("tail-5")
    face = view.wait(5, timeout=20) and view._widgets
    assert face.widget.children
    controls = face._controls
    assert list(controls.panes) == ["columns", "record", "find", "profile", "save"]

    def until(told, words):
        deadline = time.monotonic() + 20
        while words not in told.value and time.monotonic() < deadline:
            time.sleep(0.02)
        assert words in told.value

    controls.panes["find"].click()
    (words, look), told = controls.place.children[0].children, controls.place.children[1]
    look.click()
    until(told, "write beside the button")
    words.value = "$.total > 100"
    look.click()
    until(told, "were looked at")
    assert "orders_found_2" in told.value and left["orders_found"] == "somebody's own"
    assert len(left["orders_found_2"]) == 100 and left["orders_found_2"].kit.scan.newest_first
    words.value = "$.total >"
    look.click()
    until(told, "cannot be understood")
    controls.panes["profile"].click()
    [told] = controls.place.children
    until(told, "kit-profile")
    assert left["orders_profile"].records == 5000
    view.close()


def test_what_follows_no_log_has_nothing_to_find_in():
    with kit.LiveView([{"n": 1}]) as view:
        assert view.widget.children
        assert list(view._widgets._controls.panes) == ["columns", "record", "save"]


def test_what_is_overtaken_shows_nothing():
    import threading

    gate = threading.Event()

    def slow():
        gate.wait(10)
        return {"slow": "answer"}

    nodes = [Node("slow", "x", "x", details=slow), Node("quick", "x", "x", details=lambda: {"quick": "answer"})]
    browser = Pressed(Node("root", "r", "r", children=lambda: nodes))
    browser.settle()
    panel = browser._panel
    panel.tree.value = panel.tree.options[1][1]
    panel.tree.value = panel.tree.options[2][1]
    browser.settle()
    gate.set()
    time.sleep(0.2)
    assert "quick" in panel.about.value and "slow" not in panel.about.value
    browser.close()


def test_hostile_names_and_values_are_text():
    evil = "<img src=x onerror=alert(1)>"
    browser = Pressed(Node(evil, evil, evil, children=lambda: [], details=lambda: {evil: evil}))
    browser.settle()
    assert "<img" not in browser._panel.about.value
    browser.close()
    html = frame_html(pd.DataFrame({evil: [evil, "x" * 10_000_000, b"\x00<b>"]}))
    assert "<img" not in html and "<b>" not in html and len(html) < 20_000


def test_variables():
    assert variable_of("orders") == "orders_rows"
    assert variable_of("a b/c-é") == "a_b_c_é_rows"
    assert variable_of("!!!") == "some_rows"
