"""Answers of the Claude service in a real JupyterLab: how they fill in, and that they stay text."""

import itertools
import json
import os
import urllib.request

import pytest

from tests.lab.claudelite import ClaudeLab

HOSTILE = ("html", "escapes", "long")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"), demo=True, token_seconds=0.09)
    yield lab
    lab.close()


def connected(server):
    return f"import kit.claude.explore.explorer\nc = kit.claude.explore.explorer.connect({server.env!r})"


WATCH = """() => {
    const area = document.querySelectorAll('.jp-CodeCell')[1];
    window.seen = [];
    const look = () => {
        const out = area.querySelector('.jp-OutputArea');
        const text = out ? out.innerText.split(/haiku [·…]/)[0].trim() : '';
        const height = out ? out.getBoundingClientRect().height : 0;
        const last = window.seen[window.seen.length - 1];
        if (!last || last.text !== text) window.seen.push({text, height, at: performance.now()});
    };
    window.watcher = new MutationObserver(look);
    window.watcher.observe(area, {childList: true, subtree: true, characterData: true});
}"""


def test_a_live_answer_fills_in_without_a_flicker(notebook, server, screenshot):
    page = notebook(
        connected(server),
        'a = c.live("Tell me about tides [lab words=120 delay=1.0]", "haiku", transport="ws"); a',
        "print('meanwhile', a.done)",
        "print(a.wait(30).usage.output_tokens)",
    )
    page.page.evaluate(WATCH)
    page.start()
    page.output(2).get_by_text("meanwhile False").wait_for()
    # Nothing is there before the first piece, not even an empty frame.
    assert page.output(1).inner_text().strip() == ""
    page.output(1).get_by_text("haiku …").wait_for()
    screenshot("claude-live")
    page.wait()
    assert "120" in page.output(3).inner_text()
    seen = page.page.evaluate("window.seen")
    texts = [one["text"] for one in seen if one["text"]]
    assert len(texts) >= 5
    first = next(place for place, one in enumerate(seen) if one["text"])
    later = [one["text"] for one in seen[first:]]
    # It only ever grows: no moment without what was there before, and nothing twice.
    assert all(after.startswith(before) for before, after in itertools.pairwise(later)), later
    moments = [one["at"] for one in seen[first:]]
    assert len(moments) <= 10 * (moments[-1] - moments[0]) / 1000 + 3
    saved = page.save()
    (output,) = saved["cells"][1]["outputs"]
    assert set(output["data"]) == {"text/html", "text/plain"}
    assert "".join(output["data"]["text/plain"]).startswith(later[-1][:40])


def test_hostile_answers_are_text(notebook, server, screenshot):
    page = notebook(
        connected(server),
        *(f'c.ask("x [lab say={kind}]", "haiku")' for kind in HOSTILE),
        'c.live("x [lab say=html]", "haiku", transport="ws").wait(20) and None',
        'b = c.live("x [lab say=html]", "haiku"); b',
        "b.wait(20) and None",
        'c.batch(["x [lab say=html]"], model="haiku")',
        "c.last_batch",
    ).run()
    title = page.page.title()
    assert "owned" not in title
    for index in range(1, 9):
        area = page.output(index)
        assert area.locator("script, img").count() == 0
        assert area.bounding_box() is None or area.bounding_box()["height"] < 900
    assert "<script>document.title='owned'</script>" in page.output(1).inner_text()
    assert r"\x1b[31mred" in page.output(2).inner_text() and "\x1b" not in page.output(2).inner_text()
    assert "280,000 more characters, in .content" in page.output(3).inner_text()
    assert "<b>bold?</b>" in page.output(5).inner_text()
    screenshot("claude-hostile")


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def theme(request, jupyter):
    """A theme, chosen as the settings page does it."""
    _choose(jupyter, request.param)
    yield request.param
    _choose(jupyter, "JupyterLab Light")


def test_answers_read_well_in_both_themes(theme, notebook, server):
    page = notebook(
        connected(server) + "\nc",
        'c.ask("Explain why the sea is salty", "sonnet")',
        'c.task("Review the complaints of this week", ["Read", "Grep"], max_cost=0.5)',
        'c.batch(["Count to 3", "x [lab fail=cli_error]"], model="haiku"); c.last_batch',
        'c.live("Tell me about the moon", "haiku", transport="ws")',
    )
    page.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=theme)
    page.run()
    page.output(4).get_by_text("tokens").wait_for()
    for index in range(5):
        for colour, behind in _colours(page.output(index)):
            assert abs(_light(colour) - _light(behind)) > 0.35, (index, colour, behind)
    if os.environ.get("KIT_SHOTS"):
        page.page.screenshot(path=os.path.join(os.environ["KIT_SHOTS"], f"claude-{theme[-5:].strip().lower()}.png"))


MAIL = """
import pandas as pd
texts = ["I was charged twice", "My parcel is late", "Thank you, lovely", "<script>document.title='owned'</script> late"]
mail = pd.DataFrame({"body": texts * 6}, index=[f"<i>{n}</i>" for n in range(24)])
mail.loc["<i>5</i>", "body"] = "odd [lab shape=enum] <img src=x onerror=\\"document.title='owned'\\">"
ask = dict(over=mail, columns={"topic": ["billing", "delivery", "praise"], "<b>why</b>": str}, cache=False)
"""


def test_prompts_over_a_frame_read_well_in_both_themes(theme, notebook, server):
    page = notebook(
        connected(server) + MAIL,
        'c.preview("What is it about? {body}", "haiku", over=mail, columns=ask["columns"])',
        'c.batch("What is it about? {body}", "haiku", first=8, **ask)',
        'found = c.batch("What is it about? {body}", "haiku", keep=True, **ask); found.tail(3)',
        'c.batch("And this? {body} [lab shape=cut!]", "haiku", **{**ask, "over": mail.head(3)})',
        "c.last_batch.problems()",
        'both = c.compare(found, ["billing", "delivery", "praise", "delivery"] * 6); both',
        "both.plot()",
        'c.usage("month", over="hour")',
    )
    page.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=theme)
    page.run()
    assert "owned" not in page.page.title()
    for index in range(1, 9):
        area = page.output(index)
        # Sums in dollars are no mathematics.
        assert area.locator("script, i, b, img:not([alt^='topic: ']), mjx-container, .MathJax").count() == 0
        for colour, behind in _colours(area):
            assert abs(_light(colour) - _light(behind)) > 0.35, (index, colour, behind)
    assert "a sample: 8 of 24 rows" in page.output(2).inner_text()
    assert "3 repairs" in page.output(4).inner_text() and "not json" in page.output(4).inner_text()
    assert "this client knows of" in page.output(8).inner_text()
    for index, width in ((2, 1400), (4, 620), (6, 620), (7, 1400)):
        page.page.set_viewport_size({"width": width, "height": 900})
        page.output(index).scroll_into_view_if_needed()
        shown = page.output(index).bounding_box()
        assert shown["width"] <= width
        if os.environ.get("KIT_SHOTS"):
            name = f"prompts-{index}-{width}-{theme[-5:].strip().lower()}.png"
            page.page.screenshot(path=os.path.join(os.environ["KIT_SHOTS"], name))


def _choose(jupyter, theme):
    request = urllib.request.Request(
        f"{jupyter.url}/lab/api/settings/@jupyterlab%2Fapputils-extension:themes",
        data=json.dumps({"raw": json.dumps({"theme": theme})}).encode(),
        headers={"authorization": f"token {jupyter.token}", "content-type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 204


def _colours(area):
    """Of each piece of text: its colour, and that of what is behind it."""
    return area.evaluate(
        """area => [...area.querySelectorAll('*')].filter(one => one.children.length === 0 && one.innerText).map(one => {
            let behind = one;
            while (behind && getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
            return [getComputedStyle(one).color, behind ? getComputedStyle(behind).backgroundColor : 'rgb(255, 255, 255)'];
        })"""
    )


def _light(colour):
    red, green, blue = (float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
