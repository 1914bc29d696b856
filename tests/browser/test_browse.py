"""`explorer.browse()` as a user clicks through it, in a real JupyterLab."""

import os
from pathlib import Path

SHOTS = os.environ.get("KIT_SHOTS")
"""A folder for pictures, to be looked at."""


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def choose(tree, name):
    option = tree.locator("option", has_text=name).first
    tree.select_option(value=option.get_attribute("value"))


def test_clicking_through(notebook):
    opened = notebook("import kit\nlab = kit.Lab()", "lab.s2.browse()").run()
    page = opened.page
    output = opened.output(1)
    tree = output.locator("select").first
    tree.locator("option", has_text="demo-shop").wait_for(state="attached", timeout=20_000)
    choose(tree, "demo-shop")
    tree.locator("option", has_text="orders").wait_for(state="attached", timeout=20_000)
    choose(tree, "orders")
    output.get_by_text("records written").wait_for(timeout=20_000)
    assert output.locator("code", has_text="s2['demo-shop']['orders']").count() == 1
    shoot(page, "browse-details")
    output.get_by_role("button", name="Read 100").click()
    output.get_by_text("100 rows in").wait_for(timeout=20_000)
    assert output.locator("code", has_text="orders_rows").count() == 1
    shoot(page, "browse-rows")
    output.locator(".kit-browse-words input").fill("$.total > 700")
    output.get_by_role("button", name="Find").click()
    output.get_by_text("were looked at").wait_for(timeout=20_000)
    assert output.locator("code", has_text="orders_found").count() == 1
    shoot(page, "browse-found")
    output.get_by_role("button", name="Profile").click()
    output.get_by_text("most frequent").wait_for(timeout=20_000)
    shoot(page, "browse-profile")
    output.get_by_role("button", name="Live").click()
    output.get_by_role("button", name="Pause").wait_for(timeout=20_000)
    page.set_viewport_size({"width": 560, "height": 900})
    shoot(page, "browse-narrow")
    page.wait_for_timeout(300)
    width = output.evaluate("node => node.scrollWidth - node.clientWidth")
    assert width <= 2
    page.set_viewport_size({"width": 1280, "height": 900})


def axe(page, selector):
    """What axe-core says of a part of the page: rules that are broken, each with what breaks it."""
    from importlib.resources import files

    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("selector => axe.run(selector)", selector)
    return [(rule["id"], node["html"][:200]) for rule in found["violations"] for node in rule["nodes"]]


def test_keys_stay_in_it_and_stop_breaks_nothing(notebook, jupyter):
    opened = notebook("import kit\nlab = kit.Lab()", "tree = lab.s2.browse()\ntree", "1").run()
    page = opened.page
    output = opened.output(1)
    tree = output.locator("select").first
    tree.locator("option", has_text="demo-shop").wait_for(state="attached", timeout=20_000)
    # Arrows go through the tree, and not from cell to cell.
    tree.focus()
    page.keyboard.press("ArrowDown")
    output.locator("code", has_text="lab.s2['demo-shop']").wait_for(timeout=20_000)
    tree.locator("option", has_text="orders").wait_for(state="attached", timeout=20_000)
    assert tree.evaluate("node => node === document.activeElement")
    choose(tree, "orders")
    output.get_by_text("records written").wait_for(timeout=20_000)
    output.get_by_role("button", name="Live").click()
    output.get_by_role("button", name="Pause").wait_for(timeout=20_000)
    output.locator("code", has_text="lab.s2['demo-shop']['orders'].live()").wait_for()
    # Twice D, on a button, is no wish to delete a cell.
    output.get_by_role("button", name="Pause").focus()
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert opened.panel.locator(".jp-CodeCell").count() == 3
    assert axe(page, ".kit-keys") == []
    for pane in ("Columns", "Record", "Save"):
        output.get_by_role("button", name=pane).click()
        page.wait_for_timeout(700)
        assert axe(page, ".kit-keys") == [], pane
    output.get_by_role("button", name="Find").last.click()
    words = output.get_by_placeholder("any text, city=Oslo")
    words.fill("Oslo")
    words.press("Enter")  # does what the button beside it does
    output.get_by_text("orders_found = log.find(text='Oslo'").wait_for(timeout=20_000)
    assert axe(page, ".kit-keys") == [], "what was found"
    output.get_by_role("button", name="Stop").click()
    output.locator(".kit-live-state:visible", has_text="closed").wait_for()
    page.wait_for_function("document.activeElement.tagName == 'SELECT'", timeout=10_000)
    opened.save()
    page.reload()
    output = opened.output(1)
    output.locator("select").first.wait_for(timeout=60_000)
    output.locator(".kit-live-state", has_text="closed").wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0
    shoot(page, "browse-after-reload")
    opened.wait_for("idle")
