"""How plots look: colours that can be read, nothing cut, human numbers, and pictures that notebooks show."""

import html
import subprocess
import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from kit import plots
from kit.plots import theme as themes
from kit.plots.figure import Picture
from kit.plots.numbers import Numbers, human
from kit.plots.theme import LOOKS, contrast, look_of

DAYS = pd.date_range("2025-11-01", periods=14, freq="D", tz="UTC")


def some_plots(theme="auto"):
    rng = np.random.default_rng(1)
    long = ["a name that is a good deal longer than the others", "b", "c"]
    yield plots.usage(pd.DataFrame({"model": long, "tokens": [3, 2, 1], "cost": [0.1, 20000.5, 3]}), theme=theme)
    yield plots.throughput(pd.DataFrame({"time": list(DAYS) * 3, "kind": np.repeat(long, 14)}), by="kind", theme=theme)
    yield plots.throughput(
        pd.DataFrame({"time": DAYS, "n": 1e9}),
        "n",
        title="A title that is long enough to need two lines " * 2,
        theme=theme,
    )
    yield plots.latency(pd.DataFrame({"started": DAYS.repeat(20), "ms": rng.lognormal(3, 1, 280)}), theme=theme)
    yield plots.over_time(pd.DataFrame({"time": DAYS, "bytes": 52e6 + rng.normal(size=14)}), "bytes", theme=theme)
    names = [f"svc_metric_{n}_of_a_service_that_has_long_names_bytes" for n in range(30)]
    yield plots.usage(
        pd.DataFrame({"time": DAYS[0], "metric": names, "value": [0.0, 1e6] * 15, "unit": "bytes"}), theme=theme
    )


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_and_marks_can_be_read_on_their_paper(theme):
    look = LOOKS[theme]
    assert contrast(look.ink, look.paper) >= 4.5 and contrast(look.muted, look.paper) >= 4.5
    assert all(contrast(colour, look.paper) >= 3 for colour in (*look.palette, look.rest))
    for ax in some_plots(theme):
        figure = ax.get_figure()
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                assert contrast(text.get_color(), look.paper) >= 4.5, text
                assert text.get_fontsize() >= 9, text


@pytest.mark.parametrize("look", [LOOKS["light"], LOOKS["dark"]])
def test_colours_are_told_apart_by_colour_blind_eyes(look):
    # Machado, Oliveira and Fernandes 2009, full strength: protanopia, deuteranopia, tritanopia.
    eyes = {
        "all": np.eye(3),
        "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    parts = np.array([[int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)] for colour in look.palette])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    for name, eye in eyes.items():
        seen = oklab(np.clip(linear @ np.array(eye).T, 0, 1))
        nearest = min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))
        assert nearest > 0.07, name


def oklab(linear):
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.793617785, -0.0040720468],
        [1.9779984951, -2.428592205, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.808675766],
    ]
    return np.cbrt(linear @ np.array(to_cones).T) @ np.array(to_lab).T


def test_nothing_is_cut_and_no_text_lies_on_another():
    for ax in some_plots():
        figure = ax.get_figure()
        renderer = figure.canvas.get_renderer()
        figure.draw(renderer)
        bounds = figure.bbox
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        # Of ticks beyond the ends of an axis matplotlib keeps texts that it does not draw.
        kept = {
            id(tick) for panel in figure.axes for axis in (panel.xaxis, panel.yaxis) for tick in axis.get_ticklabels()
        }
        boxes = [(text, text.get_window_extent(renderer)) for text in texts if id(text) not in kept]
        for text, box in boxes:
            assert box.x0 >= bounds.x0 and box.x1 <= bounds.x1 and box.y0 >= bounds.y0 and box.y1 <= bounds.y1, text
        heads = [(text, box) for text, box in boxes if text.get_gid() == "subtitle" or text.get_fontweight() == "bold"]
        for (one, a), (other, b) in combinations(heads, 2):
            assert not a.overlaps(b), (one, other)


def test_every_plot_is_axes_that_a_notebook_shows():
    for ax in some_plots():
        assert isinstance(ax, Axes) and isinstance(ax, Picture)
        data, metadata = ax._repr_mimebundle_()
        assert data["image/png"].startswith(b"\x89PNG")
        assert metadata["image/png"]["width"] == 720
        # A screen reader is told what the picture shows.
        assert metadata["image/png"]["alt"].startswith(ax.get_title(loc="left").split("\n")[0])
        assert f'<img alt="{html.escape(metadata["image/png"]["alt"])}" ' in data["text/html"]
        assert data["text/plain"] == f"<plot: {metadata['image/png']['alt']}>"


def test_nothing_goes_through_pyplot_and_a_tab_loads_nothing():
    code = """
import sys, pandas as pd
import kit
kit.plots, dir(kit.plots)
assert "matplotlib" not in sys.modules
kit.plots.usage(pd.DataFrame({"model": ["a"], "tokens": [1]}))._repr_mimebundle_()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tab_shows_the_plots_alone():
    assert dir(plots) == ["latency", "over_time", "throughput", "usage"] == sorted(plots.__all__)
    code = """
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import kit; from kit.plots.usage_plot import usage; kit.plots.latency").raise_error()
for jedi in (True, False):
    shell.Completer.use_jedi = jedi
    with provisionalcompleter():
        print(*sorted(one.text.lstrip(".") for one in shell.Completer.completions("kit.plots.", 10)))
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert said[-2:] == ["latency over_time throughput usage"] * 2
    with pytest.raises(AttributeError, match="did you mean usage"):
        _ = plots.usages


def test_themes(tmp_path, monkeypatch):
    frame = pd.DataFrame({"time": DAYS})
    assert sum(plots.throughput(frame, theme="dark").get_figure().get_facecolor()[:3]) < 0.5
    # By itself it has paper too: it can be read wherever it ends up.
    assert plots.throughput(frame).get_figure().get_facecolor() == (1, 1, 1, 1)
    with rc_context({"figure.facecolor": "#202020", "text.color": "#eeeeee"}):
        styled = look_of("auto")
    assert styled.paper == "#202020" and styled.ink == "#eeeeee" and styled.palette == LOOKS["dark"].palette
    dark = Figure(facecolor="#111111").add_subplot(facecolor="none")
    assert (
        plots.throughput(frame, ax=dark).patches[0].get_facecolor()
        == plots.throughput(frame, theme="dark").patches[0].get_facecolor()
    )
    monkeypatch.setattr(themes, "kernel", object)
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path))
    settings = tmp_path / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    for told, found in (
        ('{\n// Theme\n"theme": "JupyterLab Dark"}', "dark"),
        ('{"theme": "JupyterLab Light"}', "light"),
        ('{"theme": "JupyterLab Dark", "adaptive-theme": true}', "light"),
        ("{", "light"),
    ):
        settings.write_text(told)
        assert look_of("auto") == LOOKS[found]


@pytest.mark.parametrize(
    ("unit", "value", "shown"),
    [
        ("bytes", 0, "0 B"), ("bytes", 999, "999 B"), ("bytes", 1e12, "1 TB"), ("ms", 1500, "1.5 s"),
        ("ms", 0.002, "2 µs"), ("s", 90, "90 s"), ("s", 600, "10 min"), ("s", 9000, "2.5 h"), ("s", 259_200, "3 d"),
        ("rows", 0.25, "0.25"), ("rows", 12_345, "12.3 k"), ("USD", 1234.5, "$1,234.50"), ("USD", 0.00012, "$0.00012"),
        ("USD", 0, "$0.00"), ("USD", -3, "-$3.00"), ("rows", -1500, "-1.5 k"), ("USD", 2.5e6, "$2.5 M"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(unit, value, shown):
    assert human(value, unit) == shown


def test_ticks_can_be_told_apart():
    assert Numbers("bytes").format_ticks([52_000_000, 52_010_000, 52_020_000]) == ["52 MB", "52.01 MB", "52.02 MB"]
    assert Numbers("USD").format_ticks([1.0, 1.002]) == [r"\$1.000", r"\$1.002"]
