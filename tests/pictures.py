"""Makes all pictures anew: `python -m tests.pictures [live | plot | plots | notebooks ...]`, all of them by default.

"live" and "plot" are the README's, taken of the real thing: cells run in `kit lab`, photographed in Chromium. "plots"
are those that tests compare plots with (`tests/plot_pictures.py`), "notebooks" those that notebooks are stored with.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import CHROMIUM, QUIET, KitLab, Notebook
from tests.plot_pictures import draw_all

FOLDER = Path(__file__).with_name("pictures")
LARGEST = 200_000

LIVE = (
    "import kit\n\nlab = kit.Lab(moving=True)",
    'view = lab.s2["demo-shop"]["orders"].live("tail-20", rows=10)\nview',
    "view.wait(55, timeout=120);",
    "view.stats()",
)
PLOT = (
    "import kit\n\nlab = kit.Lab()",
    'complaints = lab.amdahl.query("""\n'
    "    select occurred_at, channel from interactions where kind = 'complaint'\n"
    '""", limit=20_000)\n'
    'kit.plots.throughput(complaints, by="channel", every="7D", title="Complaints, week by week")',
    "lab.status()",
    "lab",
)


README = {"live": (LIVE, 1), "plot": (PLOT, 1)}
DARK = {"live": "live-dark"}
"""Pictures that are made of a dark page, too, and what they are called."""
WITH_PLOTS = ("00-tour", "03-synap", "04-claude", "06-live")


def main() -> None:
    wanted = sys.argv[1:] or [*README, "plots", "notebooks"]
    if unknown := [name for name in wanted if name not in (*README, "plots", "notebooks")]:
        sys.exit(f"there is no picture {unknown[0]!r}")
    if photographs := [name for name in wanted if name in README]:
        photograph(photographs)
    if "plots" in wanted:
        draw_all()
    if "notebooks" in wanted:
        subprocess.run([sys.executable, "-m", "tests.notebooks", *WITH_PLOTS], check=True)


def photograph(names: list[str]) -> None:
    """Run cells in a lab of its own, and keep what is seen of them."""
    FOLDER.mkdir(exist_ok=True)
    light = {name: name for name in names}
    for dark, called in ((False, light), (True, {name: DARK[name] for name in names if name in DARK})):
        if called:
            _photograph(called, dark)


def _photograph(called: dict[str, str], dark: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="kit-pictures-") as home, sync_playwright() as driver:
        command = KitLab(Path(home), dark=dark)
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            for name, file in called.items():
                cells, shown = README[name]
                context = browser.new_context(
                    viewport={"width": 1180, "height": 900},
                    device_scale_factor=1.5,
                    color_scheme="dark" if dark else "light",
                )
                context.set_default_timeout(30_000)
                page = context.new_page()
                notebook = Notebook(command, page, *cells).run(150)
                take(notebook, shown, FOLDER / f"{file}.png")
                context.close()
        finally:
            browser.close()
            command.interrupt()


def take(notebook: Notebook, index: int, path: Path) -> None:
    """A picture of a cell with what it shows."""
    cell = notebook.cell(index)
    cell.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(300)
    store(cell.screenshot(), path)


def store(picture: Any, path: Path) -> None:
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.crop((0, 0, image.width, image.height - 12))  # the next cell's frame
    image.quantize(200, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {size / 1000:.0f} kB, {image.width} x {image.height}")
    if size > LARGEST:
        sys.exit(f"{path.name} is larger than {LARGEST / 1000:.0f} kB")


if __name__ == "__main__":
    main()
