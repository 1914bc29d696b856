"""Plots that repaint themselves in the cell while a feed goes on."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..live.kernel import detached, kernel, publish
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
    name = uuid.uuid4().hex
    _publish(axes, name, update=False)

    def repaint() -> None:
        shown, painted, pause = -1, time.monotonic(), threading.Event()
        ended = False
        while not ended:
            pause.wait(EVERY)
            # Asked before drawing: what came last is then in the last picture.
            ended, version = feed.ended, feed.version
            if version != shown or ended or time.monotonic() - painted >= IDLE:
                shown, painted = version, time.monotonic()
                _publish(draw(), name, update=True, quick=not ended)

    threading.Thread(target=detached, args=(repaint,), name="kit-plot", daemon=True).start()


def _publish(axes: Any, name: str, *, update: bool, quick: bool = False) -> None:
    data, metadata = bundle(axes, quick=quick)
    picture = base64.b64encode(data["image/png"]).decode()
    publish({**data, "image/png": picture}, name, update=update, metadata=metadata)
