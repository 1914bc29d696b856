"""What is seen of a view: its widgets, repainted while somebody looks, and the snapshot that stays behind."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ..core.errors import InputError, KitError
from . import drawing, kernel
from .page import Page

if TYPE_CHECKING:
    from .controls import Controls
    from .screen import Screen
    from .state import FeedState

_SNAPSHOT_EVERY = 15.0
_IDLE = 1.0
"""Seconds after which the line of a feed that was busy a moment ago moves on by itself."""
_by_cell: dict[str, tuple[int, Face]] = {}


class Orders(Protocol):
    """What the buttons ask of a view."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...
    def __repr__(self) -> str: ...


class Face:
    """The front of one view. It paints what the state of the feed says, and hands on what the buttons ask."""

    def __init__(self, state: FeedState, rows: int, title: str, orders: Orders, stop: Callable[[], None]) -> None:
        self.title = title
        self.page = Page(state, rows)
        self.due: float | None = None
        """When it wants a repaint by itself."""
        self.closed = False
        self._state, self._orders, self._stop = state, orders, stop
        self._id = uuid.uuid4().hex[:12]
        self._controls: Controls | None = None
        self._screen: Screen | None = None
        self._painted = -1
        self._table = ""
        self._follow = True
        self._misread: InputError | None = None
        """That the text in the filter is none."""
        self._frame_name: str | None = None
        self._shown_state: tuple[str, str] | None = None
        self._snapshot_at = 0.0
        self._snapshot_of: tuple[int, str] | None = None
        self._lock = threading.RLock()

    # --- for the view -----------------------------------------------------------------------------------------------

    def bundle(self) -> dict[str, str]:
        """Return it as it is now, as text and as HTML that stands still."""
        return {"text/plain": repr(self._orders), "text/html": self._snapshot()}

    def clear(self) -> None:
        """Start empty, with the rows that come from now on."""
        with self._lock:
            self.page.clear()
        self._wake()

    def close(self) -> None:
        """Free the widgets, and leave a snapshot where they were."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            controls, self._controls = self._controls, None
        self._state.unwatch(self._wake)
        if self._screen is not None:
            from . import screen

            screen.remove(self)
            self._screen = None
        if controls is not None:
            self.leave_snapshot()
            kernel.detached(controls.close)

    def show(self) -> None:
        """Show it in the cell that runs."""
        if kernel.kernel() is None:
            print(repr(self._orders))
            return
        if self.closed:
            kernel.publish(self.bundle(), self._id, update=False)
            return
        self._replace_in_cell()
        view = {"model_id": self.widget.model_id, "version_major": 2, "version_minor": 0}
        data = {"text/plain": repr(self._orders), "application/vnd.jupyter.widget-view+json": view}
        kernel.shell().display_pub.publish(data=data, metadata={})
        kernel.publish(self.bundle(), self._id, update=False)
        self._snapshot_at = time.monotonic()

    @property
    def widget(self) -> Any:
        """Its widgets, made on first use."""
        if self.closed:
            raise InputError("this view is closed", hint="make a new one with .live(), or LiveView(feed)")
        if self._controls is None:
            kernel.detached(self._open)
        assert self._controls is not None
        return self._controls.box

    def _open(self) -> None:
        from . import screen
        from .controls import Controls

        self._controls = Controls(self, self.page.rows)
        self._paint_state()
        self._controls.main.value = self._body()
        self._screen = screen.add(self)
        self._state.watch(self._wake)

    def _replace_in_cell(self) -> None:
        """Closes the view that the running cell has shown the last time that it ran."""
        here = kernel.cell()
        if here is None:
            return
        identity, run = here
        for known, (earlier, face) in list(_by_cell.items()):
            if face.closed:
                del _by_cell[known]
            elif known.partition("#")[0] == identity and earlier != run and face is not self:
                face.replaced()
                del _by_cell[known]
        _by_cell[f"{identity}#{self._id}"] = (run, self)

    def replaced(self) -> None:
        """Close the view, as its cell has run again."""
        self._orders.close()

    # --- painting ---------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        screen = self._screen
        if screen is not None:
            screen.wake()

    def repaint(self, most: int) -> int:
        """Shows what is new, if somebody looks; tells how many messages that took. For the screen's thread."""
        with self._lock:
            controls, now = self._controls, time.monotonic()
            if controls is None:
                return 0
            if not controls.seen:
                self.due = None
                return 0
            version = self._state.version
            if version == self._painted and (self.due is None or now < self.due):
                return 0
            self._painted = version
            sent = self._paint_state()
            body = self._body()
            if body != controls.main.value:
                controls.main.value = body
                sent += 1
            self.due = now + _IDLE if any(self._state.rates.line()) or self._state.rates.over(2)[0] else None
            if now - self._snapshot_at > _SNAPSHOT_EVERY:
                sent += self.leave_snapshot()
            return sent

    def _paint_state(self) -> int:
        controls, feed = self._controls, self._state
        assert controls is not None
        shown = (feed.word, self._told())
        sent = controls.show_paused(feed.word == "paused", feed.ended)
        if shown == self._shown_state:
            return sent
        before, self._shown_state = self._shown_state, shown
        hidden = f"<style>.kit-live-snap-{self._id}{{display:none}}</style>"
        controls.state.value = drawing.main(
            drawing.STYLE, hidden, drawing.state_line(feed.word, self.title, self._told())
        )
        if before is not None and before[0] != feed.word and feed.word in ("paused", "closed", "failed"):
            sent += self.leave_snapshot()
        return sent + 1

    def _told(self) -> str:
        """What went wrong, in lines."""
        lines = [str(problem) for problem in self._state.problems[-3:]]
        lines += [f"filter: {error}" for error in (self._misread, self.page.lacking) if error is not None]
        if self._state.error is not None and self._state.word in ("failed", "reconnecting"):
            lines.insert(0, f"{type(self._state.error).__name__}: {self._state.error}")
        return "\n".join(lines)

    def _figures(self) -> str:
        feed = self._state
        with feed.changed:
            shown = drawing.Figures(
                total=feed.total,
                rate=None if feed.source.replaces else feed.rates.over(2)[0] if not feed.ended else 0.0,
                line=feed.rates.line(),
                lag=None if feed.ended else feed.lag,
                caught_up=None if feed.ended else feed.caught_up,
                dropped=feed.dropped,
                skipped=feed.skipped,
                gaps=feed.gaps,
                matching=self.page.matching,
                notes=feed.notes,
            )
        return drawing.figures(shown)

    def _body(self) -> str:
        if self._follow or not self._table:
            try:
                self._table = self.page.html()
            except Exception as error:
                # A row that cannot be shown must not end the view; the figures go on.
                self._state.problem("showing the rows", error, wake=False)
                self._table = drawing.note(f"the newest rows cannot be shown: {type(error).__name__}: {error}")
        return drawing.main(self._figures(), self._table)

    def _snapshot(self) -> str:
        with self._lock:
            stood = f"as of {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
            state = drawing.state_line(self._state.word, f"{self.title} · {stood}", self._told())
            inner = drawing.main(drawing.STYLE, state, f'<div style="overflow:auto">{self._body()}</div>')
        return f'<div class="kit-live-snap-{self._id}">{inner}</div>'

    def leave_snapshot(self) -> int:
        """Bring the snapshot up to date; tell how many messages that took."""
        if self._controls is None and not self.closed:
            return 0
        mark = (self._state.version, self._state.word)
        self._snapshot_at = time.monotonic()
        if mark == self._snapshot_of:
            return 0
        self._snapshot_of = mark
        kernel.publish(self.bundle(), self._id, update=True)
        return 1

    # --- the buttons ----------------------------------------------------------------------------------------------

    def press_pause(self) -> None:
        if self._state.word == "paused":
            self._orders.resume()
        else:
            self._orders.pause()

    def press_follow(self, on: bool) -> None:
        self._follow = on
        self._again()

    def press_rows(self, rows: int) -> None:
        with self._lock:
            self.page.rows = rows
            self._table = ""
        self._again()

    def press_filter(self, text: str) -> None:
        from ..core.tables.filters import query

        self._misread = None
        test = None
        if text.strip():
            try:
                test = query(text)
            except InputError as error:
                self._misread = error
        with self._lock:
            self.page.set_filter(test)
            self._table = ""
        self._again()

    def press_clear(self) -> None:
        self._orders.clear()

    def press_stop(self) -> None:
        self._stop()

    def press_frame(self) -> None:
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
        frame = self._state.frame()
        variables = kernel.shell().user_ns
        if self._frame_name is None:
            stem = re.sub(r"\W+", "_", self._state.source.label.rpartition("/")[2]).strip("_").lower() or "feed"
            stem = f"{stem}_live" if not stem[0].isdigit() else f"feed_{stem}_live"
            self._frame_name, n = stem, 2
            while self._frame_name in variables:
                self._frame_name, n = f"{stem}_{n}", n + 1
        return kernel.leave(self._frame_name, frame)

    def seen_changed(self) -> None:
        """A front end has begun to show it, or has ceased to."""
        screen = self._screen
        if screen is not None:
            screen.look_up()
        self._again()

    def _again(self) -> None:
        self._painted = -1
        self._wake()
