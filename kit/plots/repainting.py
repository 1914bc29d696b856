"""Plots that repaint themselves in the cell while a feed runs, and less often when they are not visible."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..live.ipython import detached, in_voila, kernel, page_listens, publish
from .figure import Margins, bundle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..live.feed.feed import Feed
    from ..live.view.page_events import PageEvents

EVERY = 1.0
"""Seconds between two repaints of one plot."""
IDLE = 10.0
"""The same while no rows arrive, or while no page shows the plot."""


def follow(feed: Feed | None, draw: Callable[[Margins], Axes]) -> Axes:
    """Return the result of `draw`; a notebook shows it repainted, once a second, until the feed ends."""
    if feed is None:
        raise InputError("live=True needs a feed or a live view", hint="kit.plots.throughput(handle.live(), live=True)")
    margins = Margins()
    axes = draw(margins)
    shown: Any = axes
    shown._ipython_display_ = lambda: _show(feed, axes, lambda: draw(margins))
    return axes


def _show(feed: Feed, axes: Any, draw: Callable[[], Any]) -> None:
    if kernel() is None:
        text = bundle(axes)[0]["text/plain"]
        print(f"{text}\nIt repaints itself in a notebook. Here it is static: call it again, or save ax.figure.")
        return
    from ..live.view.page_events import PageEvents

    page_listens()
    events = detached(lambda: PageEvents(lambda: None))
    paint, end = _on_a_page(axes, events) if in_voila() else _in_the_output(axes, events)

    def repaint() -> None:
        shown, painted, pause = -1, time.monotonic(), threading.Event()
        ended = False
        while not ended:
            pause.wait(EVERY)
            # Checked before drawing, so that the last picture contains the last rows.
            ended, version = feed.ended, feed.version
            news = version != shown and events.seen
            if news or ended or time.monotonic() - painted >= IDLE:
                shown, painted = version, time.monotonic()
                paint(bundle(draw(), quick=not ended))
        end()

    threading.Thread(target=detached, args=(repaint,), name="kit-plot", daemon=True).start()


Paint = Callable[[tuple[dict[str, Any], dict[str, Any]]], None]
End = Callable[[], None]


def _in_the_output(axes: Any, events: PageEvents) -> tuple[Paint, End]:
    """Show the plot as an output of the cell, which is stored with the notebook and replaced at each repaint. An
    invisible widget before it reports whether the plot is on the screen."""
    from ..live.view.controls import free

    name = uuid.uuid4().hex
    box = detached(lambda: events.beside([]))
    view = {"model_id": box.model_id, "version_major": 2, "version_minor": 0}
    publish({"text/plain": "", "application/vnd.jupyter.widget-view+json": view}, f"{name}-page", update=False)

    def paint(shown: tuple[dict[str, Any], dict[str, Any]], update: bool = True) -> None:
        data, metadata = shown
        picture = base64.b64encode(data["image/png"]).decode()
        publish({**data, "image/png": picture}, name, update=update, metadata=metadata)

    def end() -> None:
        publish({"text/plain": "", "text/html": ""}, f"{name}-page", update=True)
        free(box)

    paint(bundle(axes), update=False)
    return paint, end


def _on_a_page(axes: Any, events: PageEvents) -> tuple[Paint, End]:
    """Show the plot as a widget: Voila takes no outputs any more once the cells have run."""
    from IPython.display import display
    from ipywidgets import HTML

    image = detached(lambda: HTML(bundle(axes)[0]["text/html"]))
    display(detached(lambda: events.beside([image])))  # type: ignore[no-untyped-call]

    def paint(shown: tuple[dict[str, Any], dict[str, Any]]) -> None:
        image.value = shown[0]["text/html"]

    return paint, lambda: None
