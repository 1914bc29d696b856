"""Plots that repaint themselves in the cell while a feed goes on."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..live.kernel import detached, in_voila, kernel, publish
from .figure import Margins, bundle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..live.feed import Feed

EVERY = 1.0
"""Seconds between two repaints of one plot."""
IDLE = 10.0
"""The same while nothing comes: it shows that nothing does."""


def follow(feed: Feed | None, draw: Callable[[Margins], Axes]) -> Axes:
    """Return what `draw` makes; a notebook that shows it sees it made anew, once a second, until the feed ends."""
    if feed is None:
        raise InputError("live=True needs a feed or a live view", hint="kit.plots.throughput(handle.live(), live=True)")
    margins = Margins()
    axes = draw(margins)
    shown: Any = axes
    shown._ipython_display_ = lambda: _show(feed, axes, lambda: draw(margins))
    return axes


def _show(feed: Feed, axes: Any, draw: Callable[[], Any]) -> None:
    if kernel() is None:
        told = bundle(axes)[0]["text/plain"]
        print(f"{told}\nIt repaints itself in a notebook. Here it stands still: call it again, or save ax.figure.")
        return
    paint = _on_a_page(axes) if in_voila() else _in_the_output(axes)

    def repaint() -> None:
        shown, painted, pause = -1, time.monotonic(), threading.Event()
        ended = False
        while not ended:
            pause.wait(EVERY)
            # Asked before drawing: what came last is then in the last picture.
            ended, version = feed.ended, feed.version
            if version != shown or ended or time.monotonic() - painted >= IDLE:
                shown, painted = version, time.monotonic()
                paint(bundle(draw(), quick=not ended))

    threading.Thread(target=detached, args=(repaint,), name="kit-plot", daemon=True).start()


Paint = Callable[[tuple[dict[str, Any], dict[str, Any]]], None]


def _in_the_output(axes: Any) -> Paint:
    """Show the plot as an output of the cell, which is stored with the notebook; replaced by what is painted."""
    name = uuid.uuid4().hex

    def paint(shown: tuple[dict[str, Any], dict[str, Any]], update: bool = True) -> None:
        data, metadata = shown
        picture = base64.b64encode(data["image/png"]).decode()
        publish({**data, "image/png": picture}, name, update=update, metadata=metadata)

    paint(bundle(axes), update=False)
    return paint


def _on_a_page(axes: Any) -> Paint:
    """Show the plot as a widget: Voila takes no outputs any more once the cells have run."""
    from IPython.display import display
    from ipywidgets import Image

    (data, metadata) = bundle(axes)
    size = metadata["image/png"]
    image = Image(value=data["image/png"], width=size["width"], height=size["height"])
    display(image)  # type: ignore[no-untyped-call]

    def paint(shown: tuple[dict[str, Any], dict[str, Any]]) -> None:
        image.value = shown[0]["image/png"]

    return paint
