"""Hostile names, keys, bodies and errors at every place that renders: all of them are text, and nothing runs."""

import pytest

from .test_browse import choose
from .test_live import START

pytestmark = pytest.mark.browser

EVIL = r"""
EVIL = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>\x1b[31m\u202e"\' $\\frac{'
import numpy as np, pandas as pd, warnings
from kit.core import progress
syn = lab.synap
syn.client.queue.create("q" + EVIL); syn.client.stream.create("r" + EVIL); syn.client.kv.set("k" + EVIL, EVIL)
syn.client.stream.publish("r" + EVIL, EVIL, {EVIL: EVIL})
s2 = lab.s2["live-basin"] if "live-basin" in lab.s2.basins()["name"].tolist() else lab.s2.create_basin("live-basin")
evil = s2.create("s" + EVIL)
evil.append([{EVIL: EVIL, "n": n} for n in range(5)])
"""

# As a cell shows it that fails; the cells below are run all the same.
SHOWN = "try: {}\nexcept kit.KitError: get_ipython().showtraceback()"

CELLS = {
    "handles": "from IPython.display import display\nfor one in (evil, syn['r' + EVIL], s2, syn, lab): display(one)",
    "frames": "display(evil.read(), syn.keys(), syn.queues(), syn.streams(), kit.calls().tail(3))",
    "tree of synap": "b1 = syn.browse(); b1",
    "tree of s2": "b2 = lab.s2.browse(); b2",
    "live view": "v = evil.live(0); v",
    "live view of a room": "w = syn.live('r' + EVIL, start=0); w",
    "while they run": "v.wait(5, timeout=20); w.wait(1, timeout=20); time.sleep(1.5)",
    "snapshots": "v.close(); w.close(); time.sleep(0.5); display(v.feed); print(v, v.feed)",
    "a failed feed": "x = kit.Feed(evil, start=0, where=lambda row: 1 / 0); time.sleep(1); display(x); x.close()",
    "an error": SHOWN.format("s2['nothing' + EVIL].read()"),
    "an error of kimberlite": SHOWN.format("lab.kimberlite.read(EVIL)"),
    "an error of synap": SHOWN.format("syn.client.queue.stats('no' + EVIL)"),
    "a warning": "warnings.warn(str(kit.KitError(EVIL, hint=EVIL)))",
    "a bar": "kit.progress(True); bar = progress.bar(100, what=EVIL); time.sleep(0.7); bar.update(40); bar.set_postfix_str(EVIL)",
    "plots": (
        "t = pd.date_range('2026-01-01', periods=20, freq='h', tz='UTC')\n"
        "kit.plots.over_time(pd.DataFrame({'time': t, 'metric': 'm' + EVIL, 'value': range(20), 'unit': 'u$_{',"
        " 'label': [EVIL + str(n % 2) for n in range(20)]}), 'm' + EVIL);"
    ),
    "deliveries": (
        "import urllib.request, urllib.error\n"
        "d = lab.amdahl.deliveries(register=False, secret='s')\n"
        "try: urllib.request.urlopen(urllib.request.Request(d.url, EVIL.encode(), "
        "{'x-webhook-signature': '0' * 64, 'x-webhook-event': EVIL[:30]}, method='POST'))\n"
        "except urllib.error.HTTPError: pass\n"
        "display(d, d.df); d.close()"
    ),
    "a batch": "display(lab.claude.batch([EVIL, 'b'], model='haiku')); display(lab.claude.last_batch)",
}


def test_nothing_that_a_service_sends_acts_in_a_page(notebook, screenshot):
    page = notebook(START, EVIL, *CELLS.values())
    browser = page.page
    dialogs = []
    browser.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    page.start()
    page.wait(180)
    browser.wait_for_timeout(500)
    for index, name in enumerate(CELLS):
        output = page.output(index + 2)
        # A plot is the one picture that there is to be.
        images = [one.get_attribute("src") for one in output.locator("img").all()]
        assert all((one or "").startswith("data:image/png") for one in images), (name, images)
        assert output.locator("script, [onerror], [onload]").count() == 0, name
        text = output.inner_text()
        # A frame is pandas' to show: as text, with all that it holds.
        assert name in ("frames", "deliveries") or not {"\x1b", "\u202e"} & set(text), (name, text)
    for place, steps in {
        "tree of synap": ("queues", "q<img", "rooms", "r<img"),
        "tree of s2": ("live-basin", "s<img"),
    }.items():
        output = page.output(list(CELLS).index(place) + 2)
        tree = output.locator("select").first
        for step in steps:
            tree.locator("option", has_text=step).first.wait_for(state="attached", timeout=20_000)
            choose(tree, step)
            browser.wait_for_timeout(500)
        output.get_by_role("button", name="Read 100").click()
        browser.wait_for_timeout(1500)
    for index, name in enumerate(CELLS):
        if name not in ("while they run", "plots"):
            assert "onerror=" in page.output(index + 2).inner_text(), name
    for title in browser.locator("[title*='onerror']").all()[:10]:
        if title.is_visible():
            title.hover(timeout=2000)
    assert browser.evaluate("window.pwned") is None
    assert not dialogs
    screenshot("hostile")
