"""Plots look as their kept pictures do. Where one is meant to change: `python -m tests.pictures plots`, and look."""

import pytest
from matplotlib.text import Text
from PIL import Image

from tests.plot_pictures import CASES, DRAWN_WITH, FOLDER, LARGEST, THEMES, difference, picture


@pytest.fixture(scope="module", autouse=True)
def _drawn_with_the_same():
    with Image.open(FOLDER / "usage-claude-light.png") as kept:
        if kept.info["Software"] != DRAWN_WITH:
            pytest.skip(f"the pictures were drawn with {kept.info['Software']}, this is {DRAWN_WITH}")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", CASES)
def test_a_plot_looks_as_it_did(name, theme):
    assert not difference(picture(CASES[name](theme)), FOLDER / f"{name}-{theme}.png")


def test_every_picture_is_of_a_plot_and_small():
    kept = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert kept.keys() == {f"{name}-{theme}.png" for name in CASES for theme in THEMES}
    assert max(kept.values()) <= LARGEST and sum(kept.values()) < 1_000_000


def without_a_title(ax):
    ax.set_title("", loc="left")


def with_another_colour(ax):
    for bar in ax.patches[:3]:
        bar.set_color("#00a070")


def with_one_bar_a_tenth_higher(ax):
    bar = ax.patches[10]
    bar.set_height(bar.get_height() * 1.1)


def without_hatches(ax):
    ax.patches[-1].set_hatch(None)


def with_another_tick(ax):
    ax.set_yticks([0, 25, 50, 75])


def with_another_word(ax):
    next(text for text in ax.findobj(Text) if text.get_gid() == "subtitle").set_text("2 Mar 2026, 07:20 to 5 Mar 2026")


@pytest.mark.parametrize(
    "broken",
    [
        without_a_title, with_another_colour, with_one_bar_a_tenth_higher, without_hatches, with_another_tick,
        with_another_word,
    ],
)  # fmt: skip
def test_a_change_that_can_be_seen_is_found(broken):
    ax = CASES["throughput-by-hour"]("light")
    broken(ax)
    assert difference(picture(ax), FOLDER / "throughput-by-hour-light.png")


def test_a_line_that_goes_elsewhere_is_found():
    ax = CASES["over-time-queues"]("dark")
    line = ax.lines[0]
    values = line.get_ydata().copy()
    values[100:104] += 6
    line.set_ydata(values)
    assert difference(picture(ax), FOLDER / "over-time-queues-dark.png")
