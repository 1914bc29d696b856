"""The widget that shows a feed: its newest rows, how fast they come, and the buttons to go with it."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from ..core.errors import InputError, KitError
from ..core.html import one_line
from . import drawing, kernel
from .feed import Feed, State
from .page import MOST_ROWS, Page

if TYPE_CHECKING:
    import pandas as pd

    from .controls import Controls
    from .problems import Problem
    from .screen import Screen
    from .source import Source

ROWS = 20
_SNAPSHOT_EVERY = 15.0
_IDLE = 1.0
"""Seconds after which the line of a feed that was busy a moment ago moves on by itself."""
_by_cell: dict[str, tuple[int, LiveView]] = {}


class LiveView:
    """A feed on show, and all that a feed can do: `view.df`, `view.wait(n=...)`, `view.pause()`, `view.close()`.

    What `.live()` gives; `LiveView(feed)` shows a feed of your own. Show it as the last line of a cell, or with
    `display(view)`. Where there are no widgets it shows a plain table. Running the cell that shows it again closes it.
    """

    def __init__(self, feed: Any, *, rows: int = ROWS, title: str | None = None, owns: bool | None = None) -> None:
        if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= MOST_ROWS:
            raise InputError(f"rows={rows!r}: a view shows from 1 to {MOST_ROWS} rows")
        self._owns = not isinstance(feed, Feed) if owns is None else owns
        self.feed: Feed = feed if isinstance(feed, Feed) else Feed(feed)
        """The feed that is shown."""
        self.title = title or self.feed.source.what
        self._page = Page(self.feed, rows)
        self._id = uuid.uuid4().hex[:12]
        self._controls: Controls | None = None
        self._screen: Screen | None = None
        self._due: float | None = None
        self._painted = -1
        self._table = ""
        self._follow = True
        self._misread: InputError | None = None
        """That the text in the filter is none."""
        self._closed = False
        self._frame_name: str | None = None
        self._shown_state: tuple[str, str] | None = None
        self._snapshot_at = 0.0
        self._snapshot_of: tuple[int, str] | None = None
        self._lock = threading.RLock()

    # --- the feed's own -------------------------------------------------------------------------------------------

    @property
    def df(self) -> pd.DataFrame:
        """The rows in the buffer, oldest first."""
        return self.feed.df

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The rows in the buffer as they are now, in Arrow."""
        return self.feed.__arrow_c_stream__(requested_schema)

    @property
    def state(self) -> State:
        """connecting, live, paused, reconnecting, closed or failed."""
        return self.feed.state

    @property
    def total(self) -> int:
        """How many rows were taken in."""
        return self.feed.total

    @property
    def error(self) -> BaseException | None:
        """What ended the feed, where it failed; else the last error that it got over."""
        return self.feed.error

    @property
    def problems(self) -> list[Problem]:
        """What callbacks and filters raised."""
        return self.feed.problems

    def tail(self, n: int = 10) -> pd.DataFrame:
        """The newest `n` rows."""
        return self.feed.tail(n)

    def stats(self) -> dict[str, Any]:
        """How it goes; see `Feed.stats`."""
        return self.feed.stats()

    def throughput(self) -> pd.DataFrame:
        """Rows and bytes of each second; see `Feed.throughput`."""
        return self.feed.throughput()

    def wait(self, n: int | None = None, *, until: Any = None, timeout: float | None = None) -> Feed:
        """The feed, once enough rows have come; see `Feed.wait`."""
        return self.feed.wait(n, until=until, timeout=timeout)

    def on(self, callback: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
        """Calls a function with each lot of new rows; see `Feed.on`."""
        return self.feed.on(callback)

    def off(self, callback: Callable[[pd.DataFrame], Any]) -> None:
        """Ends the calls of a function."""
        self.feed.off(callback)

    def checkpoint(self, path: Any = None) -> dict[str, Any]:
        """Where it stands, to go on from; see `Feed.checkpoint`."""
        return self.feed.checkpoint(path)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter(self.feed)

    def __aiter__(self) -> AsyncIterator[pd.DataFrame]:
        return self.feed.__aiter__()

    def __len__(self) -> int:
        return len(self.feed)

    def __bool__(self) -> bool:
        return True

    def pause(self) -> None:
        """Takes nothing in for now; leaves a snapshot."""
        self.feed.pause()
        self._leave_snapshot()

    def resume(self) -> None:
        """Goes on where it was paused."""
        self.feed.resume()

    def clear(self) -> None:
        """Empties the buffer and the table; the total stays."""
        with self._lock:
            self.feed.clear()
            self._page.clear()
        self._wake()

    def close(self) -> None:
        """Ends the view, frees its widgets, leaves a snapshot; ends the feed too, if `.live()` made it. May be called
        twice."""
        if self._owns:
            self.feed.close()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            controls, self._controls = self._controls, None
        self.feed._unwatch(self._wake)
        if self._screen is not None:
            from . import screen

            screen.remove(self)
            self._screen = None
        if controls is not None:
            self._leave_snapshot()
            kernel.detached(controls.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- showing it -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        rate = drawing.rate(self.feed._rates.over(10)[0])
        failed = f", {self.feed.stats()['error']}" if self.state == "failed" else ""
        return one_line(f"<LiveView of {self.feed.source.label}, {self.state}: {self.total:,} rows, {rate}/s{failed}>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._snapshot()}

    def _ipython_display_(self) -> None:
        if kernel.kernel() is None:
            print(repr(self))
            return
        if self._closed:
            kernel.publish(self._repr_mimebundle_(), self._id, update=False)
            return
        self._replace_in_cell()
        first = self._controls is None
        if first:
            kernel.detached(self._open)
        assert self._controls is not None
        box = self._controls.box
        shell = kernel.shell()
        view = {"model_id": box.model_id, "version_major": 2, "version_minor": 0}
        shell.display_pub.publish(
            data={"text/plain": repr(self), "application/vnd.jupyter.widget-view+json": view}, metadata={}
        )
        kernel.publish(self._repr_mimebundle_(), self._id, update=False)
        self._snapshot_at = time.monotonic()

    @property
    def widget(self) -> Any:
        """Its widgets, to put into a layout of your own; they are freed when the view is closed."""
        if self._closed:
            raise InputError("this view is closed", hint="make a new one with .live(), or LiveView(feed)")
        if self._controls is None:
            kernel.detached(self._open)
        assert self._controls is not None
        return self._controls.box

    def _open(self) -> None:
        from . import screen
        from .controls import Controls

        self._controls = Controls(self, self._page.rows)
        self._paint_state()
        self._controls.main.value = self._body()
        self._screen = screen.add(self)
        self.feed._watch(self._wake)

    def _replace_in_cell(self) -> None:
        """Closes the view that the running cell has shown the last time that it ran."""
        here = kernel.cell()
        if here is None:
            return
        identity, run = here
        for known, (earlier, view) in list(_by_cell.items()):
            if view._closed:
                del _by_cell[known]
            elif known.partition("#")[0] == identity and earlier != run and view is not self:
                view.close()
                del _by_cell[known]
        _by_cell[f"{identity}#{self._id}"] = (run, self)

    def _wake(self) -> None:
        screen = self._screen
        if screen is not None:
            screen.wake()

    def _repaint(self, most: int) -> int:
        """Shows what is new, if somebody looks; tells how many messages that took. For the screen's thread."""
        with self._lock:
            controls, now = self._controls, time.monotonic()
            if controls is None:
                return 0
            if not controls.seen:
                self._due = None
                return 0
            version = self.feed.version
            if version == self._painted and (self._due is None or now < self._due):
                return 0
            self._painted = version
            sent = self._paint_state()
            body = self._body()
            if body != controls.main.value:
                controls.main.value = body
                sent += 1
            self._due = now + _IDLE if any(self.feed._rates.line()) or self.feed._rates.over(2)[0] else None
            if now - self._snapshot_at > _SNAPSHOT_EVERY:
                sent += self._leave_snapshot()
            return sent

    def _paint_state(self) -> int:
        controls, feed = self._controls, self.feed
        assert controls is not None
        shown = (feed.state, self._told())
        sent = controls.show_paused(feed.state == "paused", feed.ended)
        if shown == self._shown_state:
            return sent
        before, self._shown_state = self._shown_state, shown
        hidden = f"<style>.kit-live-snap-{self._id}{{display:none}}</style>"
        controls.state.value = drawing.main(
            drawing.STYLE, hidden, drawing.state_line(feed.state, self.title, self._told())
        )
        if before is not None and before[0] != feed.state and feed.state in ("paused", "closed", "failed"):
            sent += self._leave_snapshot()
        return sent + 1

    def _told(self) -> str:
        """What went wrong, in lines."""
        lines = [str(problem) for problem in self.feed.problems[-3:]]
        lines += [f"filter: {error}" for error in (self._misread, self._page.lacking) if error is not None]
        if self.feed.error is not None and self.feed.state in ("failed", "reconnecting"):
            lines.insert(0, f"{type(self.feed.error).__name__}: {self.feed.error}")
        return "\n".join(lines)

    def _figures(self) -> str:
        feed = self.feed
        with feed._changed:
            shown = drawing.Figures(
                total=feed.total,
                rate=feed._rates.over(2)[0] if not feed.ended else 0.0,
                line=feed._rates.line(),
                lag=None if feed.ended else feed.lag,
                caught_up=None if feed.ended else feed.caught_up,
                dropped=feed.dropped,
                skipped=feed.skipped,
                gaps=feed.gaps,
                matching=self._page.matching,
            )
        return drawing.figures(shown)

    def _body(self) -> str:
        if self._follow or not self._table:
            try:
                self._table = self._page.html()
            except Exception as error:
                # A row that cannot be shown must not end the view; the figures go on.
                self.feed._problems.add("showing the rows", error)
                self._table = drawing.note(f"the newest rows cannot be shown: {type(error).__name__}: {error}")
        return drawing.main(self._figures(), self._table)

    def _snapshot(self) -> str:
        with self._lock:
            stood = f"as of {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
            state = drawing.state_line(self.feed.state, f"{self.title} · {stood}", self._told())
            inner = drawing.main(drawing.STYLE, state, f'<div style="overflow:auto">{self._body()}</div>')
        return f'<div class="kit-live-snap-{self._id}">{inner}</div>'

    def _leave_snapshot(self) -> int:
        if self._controls is None and not self._closed:
            return 0
        mark = (self.feed.version, self.feed.state)
        self._snapshot_at = time.monotonic()
        if mark == self._snapshot_of:
            return 0
        self._snapshot_of = mark
        kernel.publish(self._repr_mimebundle_(), self._id, update=True)
        return 1

    # --- the buttons ----------------------------------------------------------------------------------------------

    def _press_pause(self) -> None:
        if self.feed.state == "paused":
            self.resume()
        else:
            self.pause()

    def _press_follow(self, on: bool) -> None:
        self._follow = on
        self._again()

    def _press_rows(self, rows: int) -> None:
        with self._lock:
            self._page.rows = rows
            self._table = ""
        self._again()

    def _press_filter(self, text: str) -> None:
        from .filters import query

        self._misread = None
        test = None
        if text.strip():
            try:
                test = query(text)
            except InputError as error:
                self._misread = error
        with self._lock:
            self._page.set_filter(test)
            self._table = ""
        self._again()

    def _press_clear(self) -> None:
        self.clear()

    def _press_stop(self) -> None:
        self._owns = True
        self.close()

    def _press_frame(self) -> None:
        controls = self._controls
        try:
            name = self._leave_frame()
        except (KitError, RuntimeError) as error:
            said = str(error)
        else:
            said = f"{len(kernel.shell().user_ns[name]):,} rows are in the variable {name}"
        if controls is not None:
            controls.said.value = drawing.main(drawing.note(said))

    def _leave_frame(self) -> str:
        frame = self.feed.df
        variables = kernel.shell().user_ns
        if self._frame_name is None:
            stem = re.sub(r"\W+", "_", self.feed.source.label.rpartition("/")[2]).strip("_").lower() or "feed"
            stem = f"{stem}_live" if not stem[0].isdigit() else f"feed_{stem}_live"
            self._frame_name, n = stem, 2
            while self._frame_name in variables:
                self._frame_name, n = f"{stem}_{n}", n + 1
        return kernel.leave(self._frame_name, frame)

    def _seen_changed(self) -> None:
        """A front end has begun to show it, or has ceased to."""
        screen = self._screen
        if screen is not None:
            screen.look_up()
        self._again()

    def _again(self) -> None:
        self._painted = -1
        self._wake()


def live(source: Source, rows: int, where: Any, bounds: Mapping[str, Any], columns: Mapping[str, Any]) -> LiveView:
    """The view of a new feed, as the `live` verb of every service gives it; a bound that is None is the default."""
    given = {name: value for name, value in bounds.items() if value is not None}
    return LiveView(Feed(source, where=where, **given, **columns), rows=rows, owns=True)
