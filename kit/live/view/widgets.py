"""The visible part of a view: its widgets, repainted while a page shows them, and the snapshot that stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import InputError
from ...core.html import one_line
from .. import ipython
from .contents import Contents
from .snapshot import Snapshot
from .table import drawing
from .table.changes import Changes
from .table.order import Order
from .table.rows_table import RowsTable

if TYPE_CHECKING:
    from ..feed.state import FeedState
    from .controls import Controls
    from .repaint_timer import RepaintTimer

_IDLE = 1.0
"""Seconds after which the throughput line is painted again although no row came."""
_FIGURES = 0.25
"""Seconds between two paintings of the figures."""
_CELLS = 2500
"""The largest number of values painted per second: large tables, which take long to lay out, are painted less often."""
_SORTED = 1.0
_WHOLE = 5.0
"""Seconds after which a whole table is sent; only changes are sent in between."""
_UNSEEN = 5.0
"""Seconds between two paintings of a view that no page has on the screen."""
_by_cell: dict[str, tuple[int, ViewWidgets]] = {}


class Orders(Protocol):
    """The verbs of a view that the buttons call."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...
    def __repr__(self) -> str: ...


class ViewWidgets:
    """The visible part of one view. It paints the state of the feed, and calls the view when a button is pressed."""

    def __init__(self, state: FeedState, rows: int, title: str, orders: Orders, stop: Callable[[], None]) -> None:
        self.title = title
        self.page = RowsTable(state, rows)
        self.due: float | None = None
        """When it must be repainted although nothing changed, by `time.monotonic`."""
        self.closed = False
        self._state, self._orders, self._stop = state, orders, stop
        self._controls: Controls | None = None
        self._timer: RepaintTimer | None = None
        self._panes: Any = None
        self._painted = -1
        self._table = ""
        self._figures_at = self._table_at = self._painted_at = self._whole_at = 0.0
        self._changes = Changes()
        self._follows = True
        self._stands = False
        """Whether the table must not be repainted."""
        self._table_total = 0
        """How many rows had come when the table was made."""
        self._misread: InputError | None = None
        """The error of a filter that cannot be parsed."""
        self._shown_state: str | None = None
        self._snapshot = Snapshot(state, self.bundle)
        self._lock = threading.RLock()
        self._contents = Contents(state, self.page, self._lock)

    # --- for the view -----------------------------------------------------------------------------------------------

    def bundle(self) -> dict[str, str]:
        """Return a snapshot of this moment, as text and HTML."""
        stood = _now()
        text = repr(self._orders) if self._state.ended else f"{repr(self._orders)[:-1]}, as of {stood}>"
        return {"text/plain": text, "text/html": self._snapshot.wrapped(self._still(stood))}

    def clear(self) -> None:
        """Start empty, with the rows that come from now on."""
        with self._lock:
            self.page.clear()
        self._wake()

    def close(self) -> None:
        """Close the view and leave a snapshot. The widgets are freed. In a layout that the user made, they become a
        static picture; closing the view again frees it when no layout contains it any more."""
        with self._lock:
            controls = self._controls
            if self.closed:
                if controls is not None and not controls.held:
                    self._controls = None
                    ipython.detached(controls.close)
                return
            self.closed = True
        self._state.unwatch(self._wake)
        if self._timer is not None:
            from . import repaint_timer

            repaint_timer.remove(self)
            self._timer = None
        if controls is None:
            return
        self.leave_snapshot()
        self._panes.close()
        if controls.held or ipython.in_voila():
            ipython.detached(lambda: controls.stand_still(self._snapshot.hiding + self._still(_now())))
            return
        self._controls = None
        self._snapshot.alone()
        ipython.detached(controls.close)

    def show(self) -> None:
        """Show the view in the running cell."""
        if ipython.kernel() is None:
            print(f"{self._orders!r}\n{ipython.elsewhere()}")
            return
        if self.closed:
            self._snapshot.still()
            return
        self._replace_in_cell()
        if self._controls is not None:
            ipython.page_listens()  # as when the widgets are made
        self._snapshot.show(self.widget.model_id)

    @property
    def widget(self) -> Any:
        """The widgets, made on first use."""
        if self.closed:
            raise InputError("this view is closed", hint="make a new one with .live(), or LiveView(feed)")
        if self._controls is None:
            if threading.current_thread() is threading.main_thread():
                ipython.page_listens()
            ipython.detached(self._open)
        assert self._controls is not None
        return self._controls.box

    def _open(self) -> None:
        from . import repaint_timer
        from .controls import Controls
        from .panes import Panes

        self._panes = Panes(self._contents, self.press_columns, self.press_widest)
        self._controls = Controls(self, self.page.rows, searched=self._state.source.searched is not None)
        if here := ipython.elsewhere():
            self._controls.message.value = drawing.main(drawing.note(here))
        self._paint_state()
        self._controls.main.value = self._changes.whole(self._made_table())
        self._controls.figures.value = self._figures()
        self._timer = repaint_timer.add(self)
        self._state.watch(self._wake)

    def _replace_in_cell(self) -> None:
        """Close the view that an earlier run of the same cell has shown."""
        here = ipython.cell()
        if here is None:
            return
        identity, run = here
        for known, (earlier, face) in list(_by_cell.items()):
            if face.closed:
                del _by_cell[known]
            elif known.partition("#")[0] == identity and earlier != run and face is not self:
                face.replaced()
                del _by_cell[known]
        _by_cell[f"{identity}#{self._snapshot.name}"] = (run, self)

    def replaced(self) -> None:
        """Close the view, because its cell runs again."""
        self._orders.close()

    # --- painting ---------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        timer = self._timer
        if timer is not None:
            timer.wake()

    def repaint(self, most: int) -> int:
        """Paint what is new, if a page shows it; return how many messages were sent. Runs in the timer's thread."""
        with self._lock:
            controls, now = self._controls, time.monotonic()
            if controls is None or self.closed:
                return 0
            if not controls.seen:
                self.due = None
                return 0
            if not controls.page.seen and now < self._painted_at + _UNSEEN:
                self.due = self._painted_at + _UNSEEN
                return 0
            self._stand()
            version = self._state.version
            if version == self._painted and (self.due is None or now < self.due):
                return 0
            self._painted_at = now
            sent = self._paint_state()
            waits = []
            moving = not self._stands or not self._table
            if moving and (self._table_at + self._pace > now):
                waits.append(self._table_at + self._pace)
            elif moving:
                self._table_at = now
                sent += self._paint_table(controls, now)
                sent += controls.offer(list(self.page.names), one_line)
            if self._figures_at + _FIGURES > now:
                waits.append(self._figures_at + _FIGURES)
            else:
                self._figures_at = now
                sent += self._put(controls.figures, self._figures())
            if not waits:
                self._painted = version
                waits = [now + _IDLE] if any(self._state.rates.line()) or self._state.rates.over(2)[0] else []
            self.due = min(waits, default=None)
            sent += self._snapshot.leave_if_due()
            return sent

    def _paint_table(self, controls: Controls, now: float) -> int:
        table = self._made_table()
        self._changes.wanted_whole |= controls.page.wants_whole()
        if self._changes.same(table):
            return 0
        # Pages without our script ignore changes, so a whole table is sent from time to time.
        if controls.page.listens and now < self._whole_at + _WHOLE and (changes := self._changes.since(table)):
            return self._put(controls.changes, changes)
        self._whole_at = now
        return self._put(controls.main, self._changes.whole(table))

    @property
    def _pace(self) -> float:
        """Seconds between two paintings of the table."""
        return max(0.1, self.page.cells / _CELLS, _SORTED if self.page.ordered else 0.0)

    def _put(self, widget: Any, html: str) -> int:
        if html == widget.value:
            return 0
        widget.value = html
        return 1

    def _paint_state(self) -> int:
        controls, feed = self._controls, self._state
        assert controls is not None
        sent = controls.show_paused(feed.word == "paused", feed.ended)
        sent += controls.show_trouble(drawing.main(drawing.errors(messages)) if (messages := self._messages()) else "")
        if feed.word == self._shown_state:
            return sent
        before, self._shown_state = self._shown_state, feed.word
        controls.state.value = drawing.main(
            drawing.STYLE, self._snapshot.hiding, drawing.state_line(feed.word, self.title)
        )
        if before is not None and feed.word in ("paused", "closed", "failed"):
            sent += self.leave_snapshot()
        return sent + 1

    def _messages(self) -> list[str]:
        """Return the messages of all errors, each once."""
        lines = [str(problem) for problem in self._state.problems[-3:]]
        lines += [f"filter: {error}" for error in (self._misread, self.page.lacking) if error is not None]
        if self._state.error is not None and self._state.word in ("failed", "reconnecting"):
            lines.insert(0, f"{type(self._state.error).__name__}: {self._state.error}")
        return list(dict.fromkeys(lines))

    def _figures(self) -> str:
        feed = self._state
        with feed.changed:
            paused = feed.word == "paused"
            shown = drawing.Figures(
                total=feed.total,
                rate=None if feed.source.replaces else feed.rates.over(2)[0] if not feed.ended else 0.0,
                line=feed.rates.line(),
                lag=None if feed.ended else feed.lag,
                caught_up=None if feed.ended or paused else feed.caught_up,
                waiting=(feed.lag or 0) if paused else 0,
                newer=max(0, feed.total - self._table_total) if self._stands else 0,
                dropped=feed.dropped,
                skipped=feed.skipped,
                gaps=feed.gaps,
                matching=self.page.matching,
                notes=feed.notes,
            )
        return drawing.main(drawing.figures(shown))

    def _made_table(self) -> str:
        self._table_total = self._state.total
        try:
            self._table = self.page.html()
        except Exception as error:
            # A row that cannot be shown must not end the view.
            self._state.problem("showing the rows", error, wake=False)
            self._table = drawing.note(f"the newest rows cannot be shown: {type(error).__name__}: {error}")
        return self._table

    def _still(self, stood: str) -> str:
        """Return a static picture of the view as it is now."""
        with self._lock:
            if not self._stands or not self._table:
                self._made_table()
            state = drawing.state_line(self._state.word, self.title, stood=stood)
            table = f'<div style="overflow:auto">{drawing.without_blanks(self._table)}</div>'
            errors = drawing.errors(self._messages())
            return drawing.main(drawing.STYLE, state, errors, self._figures(), table)

    def leave_snapshot(self) -> int:
        """Update the snapshot; return how many messages were sent."""
        return 0 if self._controls is None and not self.closed else self._snapshot.leave()

    # --- the buttons ----------------------------------------------------------------------------------------------

    def press_pause(self) -> None:
        if self._state.word == "paused":
            self._orders.resume()
        else:
            self._orders.pause()

    def press_follow(self, on: bool) -> None:
        """Show rows as they come, or stop repainting the table."""
        self._follows = on
        self._again()

    def _stand(self) -> None:
        """Check whether the table must not change: Follow is off, or the user selects text in it."""
        assert self._controls is not None
        self._stands = not self._follows or self._controls.page.held

    def press_rows(self, rows: int) -> None:
        self._look(lambda: setattr(self.page, "rows", rows))

    def press_order(self, order: tuple[str, bool]) -> None:
        column, descending = order
        self._look(lambda: self.page.set_order(Order(column, descending=descending) if column else None))

    def press_columns(self, names: Sequence[str] | None) -> None:
        self._look(lambda: self.page.choose(names))

    def press_widest(self, characters: int) -> None:
        self._look(lambda: self.page.set_widest(characters))

    def press_filter(self, text: str) -> None:
        from ...core.tables.filters import query

        self._misread = None
        test = None
        if text.strip():
            try:
                test = query(text)
            except InputError as error:
                self._misread = error
        self._look(lambda: self.page.set_filter(test))

    def _look(self, change: Callable[[], None]) -> None:
        """Change how rows are shown, and repaint at once, even if Follow is off."""
        with self._lock:
            change()
            self._table, self._table_at = "", 0.0
        self._again()

    def press_clear(self) -> None:
        self._orders.clear()

    def press_stop(self) -> None:
        self._stop()

    def press_frame(self) -> None:
        controls = self._controls
        if controls is not None:
            controls.message.value = drawing.main(drawing.note(self._contents.frame()))

    def press_pane(self, name: str) -> None:
        controls = self._controls
        if controls is not None:
            self._panes.press(controls, name)

    def press_row(self, number: int) -> None:
        """Show the clicked row as a whole."""
        controls = self._controls
        if controls is not None:
            self._panes.show_row(controls, number)

    def page_told(self) -> None:
        """Repaint after a page has sent that the user selects rows, or that the view is on the screen or not."""
        self._again()

    def seen_changed(self) -> None:
        """Repaint after a front end has begun or ceased to show the view."""
        timer = self._timer
        if timer is not None:
            timer.look_up()
        self._again()

    def _again(self) -> None:
        self._painted = -1
        self._wake()


def _now() -> str:
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
