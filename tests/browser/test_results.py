"""Results in JupyterLab: a live query that was right and now fails, and figures per key with an alert that fails."""

import pytest

START = """
import kit, queue
kit.progress(False)
given = queue.Queue()
feed = kit.Feed(iter(given.get, None), max_rows=100)
given.put([{"city": city, "total": n} for n, city in enumerate(["Oslo", "Rome", "Lima"] * 50)])
feed.wait(150, timeout=20)
"""
SHOW = """
found = kit.live_sql('''select city, count(*) as orders,
    sum(total::int)::int as total
from feed group by city order by total desc''', every=0.2)
cities = feed.per("city", n="count", high="max:total")
cities.when("n > 50", call=lambda rows: rows.absent)
views = [kit.LiveView(found, rows=5, title="by city"), kit.LiveView(cities, rows=5, title="per city")]
found.wait(3, timeout=20)
display(*views)
"""
BREAK = """
given.put([{"city": "Oslo", "total": "many"}] * 20)
found.wait(until=lambda feed: feed.stats()["stale"], timeout=20)
cities.wait(until=lambda feed: feed.problems, timeout=20)
print("broken")
"""


@pytest.mark.timeout(180)
def test_results_are_shown_with_what_one_should_know(notebook):
    page = notebook(START, SHOW, BREAK)
    browser = page.page
    page.run(90)
    assert "broken" in page.output(2).inner_text()
    by_title = lambda title: browser.locator(".jupyter-widgets.widget-vbox", has_text=title).first  # noqa: E731
    queried, counted = by_title("by city"), by_title("per city")
    counted.get_by_text("when 'n > 50': once").wait_for()
    queried.get_by_text("stale since").wait_for()
    queried.locator("td", has_text="Lima").first.wait_for()
    told = queried.text_content()  # also what is scrolled out of sight
    # The last good result stays, in the order of the query, beside the error with its line.
    assert "LINE 2:     sum(total::int)" in told and "Could not convert string 'many'" in told
    assert told.index("Lima") < told.index("Rome") < told.index("Oslo") and "0/s" not in told
    assert "rows that left its buffer" in told and "once, last" in counted.text_content()
    assert "absent" in counted.text_content() and "cell, line" in counted.text_content()
