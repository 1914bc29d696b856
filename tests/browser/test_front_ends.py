"""Live views in every front end that there is: what a page tells of them, and what is left of them there."""

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
  new MutationObserver(() => window.paints++).observe(table, {childList: true});
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
    box = place(row, 4)
    page.mouse.move(box["x"] + 30, box["y"] + 8)
    page.wait_for_timeout(300)
    page.mouse.down()
    page.wait_for_timeout(150)
    marked = row.nth(4).locator("td").first.inner_text()
    page.mouse.up()
    output.locator("pre", has_text=f"row {marked} of many").wait_for()
    # What is marked stays marked.
    page.wait_for_timeout(500)
    box = place(row.locator("td:nth-child(3)"), 2)
    page.mouse.move(box["x"] + 2, box["y"] + 8)
    page.mouse.down()
    page.wait_for_timeout(300)
    page.mouse.move(box["x"] + 90, box["y"] + 8, steps=4)
    page.mouse.up()
    before = page.evaluate("getSelection().toString()")
    page.wait_for_timeout(1200)
    assert "row" in before and page.evaluate("getSelection().toString()") == before
    output.get_by_text(" newer").wait_for()
    page.evaluate("getSelection().removeAllRanges()")
    page.evaluate(PAINTS)
    assert painted(page, 1) >= 3
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


def test_a_view_through_reloads_tabs_restarts_and_runs(notebook):
    show = "view = kit.LiveView(feed, rows=10, title='numbers')\nview"
    opened = notebook(START + GOING, show, "view", "box = __import__('ipywidgets').VBox([view.widget])\nbox")
    page = opened.page

    def holds(page, views, words="live"):
        """So many widgets are there, and moving; no output is an error, and no picture claims to be live."""
        moving = page.locator(".jupyter-widgets .kit-live-moving")
        moving.nth(views - 1).wait_for(timeout=20_000)
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
    page.screenshot(path="/tmp/front/shots/reload.png")
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.locator(".lm-Menu-item").filter(has_text="Restart Kernel…").first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    opened.wait_for("idle")
    page.wait_for_timeout(1500)
    page.wait_for_timeout(500)
    page.screenshot(path="/tmp/front/shots/restart.png", full_page=True)
    # The widgets stay, and are grey.
    colours = page.locator(".kit-live-dot:visible").evaluate_all(
        "all => all.map(one => getComputedStyle(one).backgroundColor)"
    )
    assert colours == ["rgb(138, 138, 138)"] * 3
    page.reload()
    page.locator(".kit-live-state:visible", has_text="was live").nth(1).wait_for()
    page.screenshot(path="/tmp/front/shots/restart2.png", full_page=True)
    assert page.get_by_text("Error displaying widget").locator("visible=true").count() <= 1  # in the box of one's own
    assert opened.output(1).get_by_text("widget").locator("visible=true").count() == 0
    opened.run()
    holds(page, 3)
