"""Live views in every front end that there is: what a page tells of them, and what is left of them there."""

import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid

import ipywidgets.embed
import pytest

import kit

from .conftest import _document
from .test_browse import axe

START = """
import kit, queue, threading, time
kit.progress(False)
given = queue.Queue()
feed = kit.Feed(iter(given.get, None))
def put(start, stop):
    given.put([{"n": n, "city": ["Oslo", "Rome", "Lima"][n % 3], "text": f"row {n} of many"} for n in range(start, stop)])
put(0, 30)
feed.wait(30, timeout=20)
going = True
def keep_going():
    n = 30
    while going:
        put(n, n + 1)
        n += 1
        time.sleep(0.1)
"""
GOING = "threading.Thread(target=keep_going, daemon=True).start()"
# Counts how often the table of the first view is painted.
PAINTS = """
() => {
  const table = document.querySelector('.jupyter-widgets .kit-live-moving').closest('.widget-html-content');
  window.paints = 0;
  new MutationObserver(() => window.paints++).observe(table, {childList: true, subtree: true});
}
"""


def painted(page, seconds):
    """How often the table is painted in so many seconds."""
    before = page.evaluate("window.paints")
    page.wait_for_timeout(1000 * seconds)
    return page.evaluate("window.paints") - before


def place(locator, n):
    """Where one of several is, at once: it is replaced all the time."""
    return locator.evaluate_all("(found, n) => { const {x, y} = found[n].getBoundingClientRect(); return {x, y}; }", n)


def test_what_a_page_tells_of_a_view(notebook):
    opened = notebook(
        START, "view = kit.LiveView(feed, rows=10, title='numbers')\nview", GOING, "print('\\n' * 100)", "going = False"
    )
    page, output = opened.page, opened.output(1)
    for n in range(3):
        opened.cell(n).locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
    row = output.locator(".kit-live-moving tr[data-n]")
    row.first.wait_for()
    # A click on a row shows it whole, and not another one, though rows move on all the time.
    page.evaluate("addEventListener('pointerdown', e => window.pressed = e.target.closest('tr')?.dataset.n, true)")
    for _ in range(5):  # the table may have moved up or down since its place was asked for
        box = place(row, 4)
        page.mouse.move(box["x"] + 30, box["y"] + 8)
        page.wait_for_timeout(300)
        page.mouse.down()
        page.wait_for_timeout(150)
        page.mouse.up()
        if (pressed := page.evaluate("window.pressed")) is not None:
            break
    output.locator("pre", has_text=f"row {pressed} of many").wait_for()
    # What is marked stays marked. Rows that are replaced before the kernel has heard of it take their mark along.
    for _ in range(15):
        box = place(row.locator("td:nth-child(3)"), 2)
        page.mouse.move(box["x"] + 2, box["y"] + 8)
        page.mouse.down()
        page.wait_for_timeout(300)
        page.mouse.move(box["x"] + 90, box["y"] + 8, steps=4)
        page.mouse.up()
        before = page.evaluate("getSelection().toString()")
        if "row" in before:
            break
    page.wait_for_timeout(1200)
    assert "row" in before and page.evaluate("getSelection().toString()") == before
    output.get_by_text(" newer").wait_for()
    page.evaluate("getSelection().removeAllRanges()")
    page.evaluate(PAINTS)
    assert painted(page, 1) >= 3
    # A row that stays is the same one in the page: new ones are put above it. Now and then all are made anew.
    for _ in range(5):
        page.evaluate("window.row = document.querySelector('.jupyter-widgets .kit-live-moving tr[data-n]')")
        page.wait_for_timeout(600)
        if moved := page.evaluate("row.isConnected && row.rowIndex > 1"):
            break
    assert moved
    shown = row.evaluate_all("all => all.map(one => [+one.dataset.n, one.cells[2].innerText])")
    assert len(shown) == 10 and [n for n, _ in shown] == list(range(shown[0][0], shown[0][0] - 10, -1))
    assert all(text == f"row {n} of many" for n, text in shown)
    # What nobody sees is seldom painted.
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(500)
    assert painted(page, 2) <= 1
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(300)
    assert painted(page, 1) >= 3
    opened.cell(3).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    opened.cell(4).locator(".cm-content").scroll_into_view_if_needed()
    page.wait_for_timeout(700)
    assert painted(page, 1) <= 1
    output.get_by_role("button", name="Stop").scroll_into_view_if_needed()
    output.get_by_role("button", name="Stop").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.wait_for_timeout(200)
    assert opened.panel.locator(".jp-CodeCell").count() == 5
    assert axe(page, ".kit-keys") == []
    page.keyboard.press("Enter")
    output.locator(".kit-live-state:visible", has_text="closed").wait_for()
    page.wait_for_function(
        "document.activeElement.closest('.jp-Cell') === document.querySelectorAll('.jp-CodeCell')[1]", timeout=5000
    )
    opened.cell(4).locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")


def test_a_view_through_reloads_tabs_restarts_and_runs(notebook, screenshot):
    show = "view = kit.LiveView(feed, rows=10, title='numbers')\nview"
    opened = notebook(START + GOING, show, "view", "box = __import__('ipywidgets').VBox([view.widget])\nbox")
    page = opened.page

    def holds(page, views, words="live"):
        """So many widgets are there, and moving; no output is an error, and no picture claims to be live."""
        moving = page.locator(".jupyter-widgets .kit-live-moving")
        moving.nth(views - 1).wait_for(timeout=60_000)
        assert moving.count() == views
        before = moving.first.locator("tr[data-n]").first.get_attribute("data-n")
        page.wait_for_function(
            "before => document.querySelector('.jupyter-widgets .kit-live-moving tr[data-n]').dataset.n != before",
            arg=before,
            timeout=10_000,
        )
        assert page.get_by_text("Error displaying widget").count() == 0
        assert page.locator(".kit-live-state:visible", has_text="live").count() == views

    opened.run()
    holds(page, 3)
    opened.run()
    holds(page, 3)
    opened.save()
    page.reload()
    holds(page, 3)
    other = page.context.new_page()
    other.goto(page.url)
    holds(other, 3)
    holds(page, 3)
    other.get_by_role("button", name="Pause").first.click()
    page.locator(".kit-live-state:visible", has_text="paused").first.wait_for()
    other.get_by_role("button", name="Resume").first.click()
    holds(page, 3)
    other.close()
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-item").filter(has_text="Restart Kernel…").first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    opened.wait_for("idle")
    page.wait_for_timeout(1500)
    page.wait_for_timeout(500)
    screenshot("restarted")
    # The widgets stay, and are grey.
    colours = page.locator(".kit-live-dot:visible").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert colours == ["rgb(138, 138, 138)"] * 3 and page.get_by_role("button", name="Pause").count() == 0
    page.reload()
    page.locator(".kit-live-state:visible", has_text="was live").nth(1).wait_for()
    screenshot("restarted-reloaded")
    assert page.get_by_text("Error displaying widget").locator("visible=true").count() <= 1  # in the box of one's own
    for n in (1, 2):
        assert opened.output(n).get_by_text("widget").locator("visible=true").count() == 0
    opened.run()
    holds(page, 3)


@pytest.fixture
def written(jupyter):
    """Writes a notebook beside the others; gives its path."""
    paths = []

    def write(*cells):
        paths.append(jupyter.notebooks / f"test-{uuid.uuid4().hex[:8]}.ipynb")
        paths[-1].write_text(json.dumps(_document(cells)))
        return paths[-1]

    yield write
    for path in paths:
        path.unlink(missing_ok=True)


def moves(page, root=".jupyter-widgets .kit-live-moving"):
    """Wait until a view has other rows than now."""
    row = page.locator(f"{root} tr[data-n]").first
    row.wait_for(timeout=60_000)
    before = row.get_attribute("data-n")
    page.wait_for_function(
        "([root, before]) => document.querySelector(root + ' tr[data-n]')?.dataset.n != before",
        arg=[root, before],
        timeout=20_000,
    )


def run(page, cell):
    """Run a cell, and wait for its end. What is run while the page still looks for its kernel is lost: it is run again."""
    from playwright.sync_api import TimeoutError

    for _ in range(3):
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        with contextlib.suppress(TimeoutError):
            cell.locator(".jp-InputPrompt", has_text=re.compile(r"\[\d+\]")).first.wait_for(timeout=20_000)
            return
    raise AssertionError("the cell did not run")


def test_notebook_7(jupyter, written, page, screenshot):
    pytest.importorskip("notebook", reason="notebook is not installed")
    path = written(START + GOING, "view = kit.LiveView(feed, rows=10, title='numbers')\nview", "going = False")
    page.goto(f"{jupyter.url}/notebooks/{path.name}?token={jupyter.token}")
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').wait_for(timeout=60_000)
    for n in range(2):
        run(page, page.locator(".jp-CodeCell").nth(n))
    moves(page)
    page.locator(".kit-live-moving tr[data-n]").nth(3).click()
    page.locator(".kit-keys pre", has_text="of many").wait_for()
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    screenshot("notebook-7")
    assert axe(page, ".kit-keys") == []
    page.keyboard.press("Control+s")
    deadline = time.monotonic() + 30
    while "kit-live" not in path.read_text():
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.reload()
    moves(page)
    assert page.locator(".jp-CodeCell").count() == 3
    page.get_by_role("button", name="Stop").click()
    # A page that was loaded anew knows no names of outputs: what it has of the view is the picture that was saved.
    page.locator(".kit-live-state:visible", has_text="was live").wait_for()
    page.wait_for_function("![...document.querySelectorAll('.jupyter-widgets')].some(one => one.offsetParent)")
    page.locator(".jp-CodeCell .cm-content").last.click()
    page.keyboard.press("Shift+Enter")


def test_voila(jupyter, written, page, screenshot):
    pytest.importorskip("voila", reason="voila is not installed")
    path = written(
        START + GOING,
        "kit.LiveView(feed, rows=10, title='numbers')",
        "stopped = kit.LiveView(feed, rows=3, title='stopped')\nstopped",
        "stopped.close()",
        "lab = kit.Lab()\nlab.claude.live('say ten words', transport='ws')",
        "kit.plots.throughput(feed, live=True)",
    )
    page.goto(f"{jupyter.url}/voila/render/{path.name}?token={jupyter.token}", timeout=90_000)
    moves(page)
    page.locator(".kit-live-what:visible", has_text="stopped").wait_for()
    page.get_by_text("tokens").wait_for()  # an answer comes to its end
    picture = page.locator("img").first
    before = picture.get_attribute("src")
    page.wait_for_function("before => document.querySelector('img').src != before", arg=before, timeout=10_000)
    assert axe(page, ".kit-keys") == []
    page.locator(".kit-live-moving tr[data-n]").nth(3).click()
    page.locator(".kit-keys pre", has_text="of many").wait_for()
    screenshot("voila")
    page.get_by_role("button", name="Stop").click()
    page.locator(".kit-live-state:visible", has_text="closed").wait_for()
    assert page.locator(".kit-live-rows:visible").count() == 2
    assert page.locator("body").get_by_text("Error").count() == 0


def test_executed_and_stored_by_nbconvert(page, tmp_path, screenshot):
    path = tmp_path / "stored.ipynb"
    path.write_text(json.dumps(_document((START, "kit.LiveView(feed, rows=10, title='numbers')", "feed.close()"))))
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", str(path)],
        check=True,
        capture_output=True,
        timeout=120,
    )
    page.route("http*://**", lambda route: route.abort())  # nothing of it is asked of other machines
    for dark in (False, True):
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(path.with_suffix(".html").as_uri())
        state = page.locator(".kit-live-state:visible")
        assert state.all_inner_texts() in (["was live"], ["closed"])
        assert page.locator(".kit-live-rows:visible tr[data-n]").count() == 10
        assert page.get_by_text("Error displaying widget").count() == 0
        assert axe(page, ".kit-live") == []
    screenshot("nbconvert")


@pytest.fixture(scope="module")
def html_manager(tmp_path_factory):
    """The folder of what shows widgets without Jupyter; npm has it, and no package of Python's."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not there, which has the html-manager of ipywidgets")
    folder = tmp_path_factory.mktemp("html-manager")
    done = subprocess.run(
        [npm, "pack", "@jupyter-widgets/html-manager@1"], cwd=folder, capture_output=True, text=True, timeout=100
    )
    if done.returncode:
        pytest.skip(f"npm cannot give the html-manager of ipywidgets: {done.stderr[-200:]}")
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder)
    return folder / "package" / "dist"


# VS Code puts widgets on white, whatever its theme: what they bring with them are the colours of a light page.
WEBVIEW = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cell</title>
<style>body{{margin:8px;background:{paper};color:{ink};font:13px system-ui;--vscode-editor-background:{paper}}}
.cell-output-ipywidget-background{{background:white}}</style>
<body><div class="cell-output-ipywidget-background">{body}</div></body></html>"""
CONNECTED = """
document.querySelectorAll(".jupyter-widgets-disconnected").forEach(one => one.classList.remove("jupyter-widgets-disconnected"))
"""


def test_in_a_frame_with_the_html_manager_as_vs_code_has_it(html_manager, page, screenshot):
    feed = kit.Feed([{"n": n, "city": "Oslo", "text": f"row {n}"} for n in range(30)])
    feed.wait(timeout=20)
    view = kit.LiveView(feed, rows=10, title="numbers")
    snippet = ipywidgets.embed.embed_snippet(
        views=[view.widget],
        state=ipywidgets.embed.dependency_state([view.widget]),
        requirejs=False,
        embed_url="embed.js",
    )
    for name, paper, ink in (("light", "#ffffff", "#333333"), ("dark", "#1e1e1e", "#cccccc")):
        body = WEBVIEW.format(paper=paper, ink=ink, body=snippet)
        (html_manager / f"{name}.html").write_text(body)
        frame = f'<iframe title="cell" sandbox="allow-scripts" src="{name}.html" style="width:100%;height:560px;border:0"></iframe>'
        (html_manager / f"{name}-frame.html").write_text(
            f'<!doctype html><html lang="en"><title>frame</title>{frame}</html>'
        )
    handler = functools.partial(Quiet, directory=str(html_manager))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            for name in ("light", "dark"):
                page.goto(f"http://127.0.0.1:{server.server_port}/{name}-frame.html")
                cell = page.frame_locator("iframe")
                cell.locator(".kit-live-rows tr[data-n]").nth(9).wait_for()
                assert cell.locator(".kit-live-state").inner_text() == "closed"
                # No kernel answers there, so that buttons would do nothing. With one they are seen.
                assert cell.get_by_role("button", name="Record").count() == 0
                page.frames[1].evaluate(CONNECTED)
                assert cell.get_by_role("button", name="Record").count() == 1
                assert cell.locator(".kit-live-figures").inner_text().startswith("30 rows")
                screenshot(f"html-manager-{name}")
                assert axe(page.frames[1], ".kit-keys") == [], name
        finally:
            server.shutdown()
    view.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def end_headers(self):
        """Let the frame, which has an origin of its own, ask for the script."""
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def log_message(self, *_):
        """Print nothing."""
