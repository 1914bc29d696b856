"""Plots that repaint themselves in the cell while a feed goes on."""

from __future__ import annotations

import base64
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .kernel import detached, publish

if TYPE_CHECKING:
    from .feed import Feed

EVERY = 0.5
"""Seconds between two repaints of one plot."""


def follow(feed: Feed, draw: Callable[[], Any]) -> Any:
    """What `draw` makes; a notebook that shows it sees it made anew, twice a second at most, until the feed ends."""
    axes = draw()
    axes._ipython_display_ = lambda: _show(feed, axes, draw)
    return axes


def _show(feed: Feed, axes: Any, draw: Callable[[], Any]) -> None:
    name = uuid.uuid4().hex
    _publish(axes, name, update=False)

    def repaint() -> None:
        shown, pause = -1, threading.Event()
        ended = False
        while not ended:
            pause.wait(EVERY)
            # Asked before drawing: what came last is then in the last picture.
            ended, version = feed.ended, feed.version
            if version != shown or ended:
                shown = version
                _publish(draw(), name, update=True)

    threading.Thread(target=detached, args=(repaint,), name="kit-plot", daemon=True).start()


def _publish(axes: Any, name: str, *, update: bool) -> None:
    data, metadata = axes._repr_mimebundle_()
    picture = base64.b64encode(data["image/png"]).decode()
    publish({**data, "image/png": picture}, name, update=update, metadata=metadata)
