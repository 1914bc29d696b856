"""What is seen of a view: its widgets, repainted while somebody looks, and the snapshot that stays behind."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import InputError, KitError
from ...core.html import one_line, text
from .. import kernel
from . import drawing, lookup, saved
from .order import Order
from .page import Page

if TYPE_CHECKING:
    import pyarrow as pa

    from ..state import FeedState
    from .controls import Controls
    from .screen import Screen

_SNAPSHOT_AFTER = 15.0
"""Seconds from the first snapshot of rows to the next, and twice as long to each one after: a snapshot makes the
notebook one that is not saved."""
_FIRST_ROWS = 0.3
"""Seconds that the first snapshot waits for rows, where a feed has not told any yet."""
_IDLE = 1.0
"""Seconds after which the line of a feed that was busy a moment ago moves on by itself."""
_FIGURES = 0.25
"""Seconds between two paintings of the figures."""
_CELLS = 2500
"""Values that a second's tables have in all: a table that takes a page long to lay out comes less often."""
_SORTED = 1.0
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
        self._panes: Any = None
        self._painted = -1
        self._table = ""
        self._figures_at = self._table_at = 0.0
        self._stood_at: int | None = None
        """How many rows there were when the table was told to stand still; None while it follows."""
        self._misread: InputError | None = None
        """That the text in the filter is none."""
        self._variables = kernel.Variables()
        self._shown = False
        self._hidden = f"<style>.kit-live-snap-{self._id}{{display:none}}</style>"
        """The snapshot is there for where the widgets are not."""
        self._shown_state: str | None = None
        self._snapshot_due = 0.0
        self._snapshot_pause = _SNAPSHOT_AFTER
        self._rows_kept = False
        self._snapshot_of: tuple[int, str] | None = None
        self._lock = threading.RLock()

    # --- for the view -----------------------------------------------------------------------------------------------

    def bundle(self) -> dict[str, str]:
        """Return it as it is now, as text and as HTML that stands still."""
        stood = _now()
        text = repr(self._orders) if self._state.ended else f"{repr(self._orders)[:-1]}, as of {stood}>"
        return {"text/plain": text, "text/html": self._snapshot(stood)}

    def clear(self) -> None:
        """Start empty, with the rows that come from now on."""
        with self._lock:
            self.page.clear()
        self._wake()

    def close(self) -> None:
        """End it and leave a snapshot where it was; the widgets are freed, or in a layout of somebody's own become a
        picture of it, which is freed by closing again once no layout has it."""
        with self._lock:
            controls = self._controls
            if self.closed:
                if controls is not None and not controls.held:
                    self._controls = None
                    kernel.detached(controls.close)
                return
            self.closed = True
        self._state.unwatch(self._wake)
        if self._screen is not None:
            from . import screen

            screen.remove(self)
            self._screen = None
        if controls is None:
            return
        self.leave_snapshot()
        self._panes.close()
        if controls.held or kernel.in_voila():
            kernel.detached(lambda: controls.stand_still(self._hidden + self._still(_now())))
            return
        self._controls = None
        if self._shown:
            # Where the widgets were shown nothing is left, which would be their name or an error.
            kernel.publish({"text/plain": "", "text/html": ""}, f"{self._id}-view", update=True)
        kernel.detached(controls.close)

    def show(self) -> None:
        """Show it in the cell that runs."""
        if kernel.kernel() is None:
            print(f"{self._orders!r}\n{kernel.elsewhere()}")
            return
        if self.closed:
            kernel.publish(self.bundle(), self._id, update=False)
            return
        self._replace_in_cell()
        view = {"model_id": self.widget.model_id, "version_major": 2, "version_minor": 0}
        data = {"text/plain": "", "application/vnd.jupyter.widget-view+json": view}
        kernel.publish(data, f"{self._id}-view", update=False)
        kernel.keys_stay()
        self._shown = True
        # A run without a reader (nbconvert, Voila) keeps what is there when the cell ends.
        deadline = time.monotonic() + _FIRST_ROWS
        while not (self._state.total or self._state.ended) and (left := deadline - time.monotonic()) > 0:
            with self._state.changed:
                self._state.changed.wait(left)
        kernel.publish(self.bundle(), self._id, update=False)
        self._rows_kept = self._state.total > 0
        self._snapshot_due = time.monotonic() + self._snapshot_pause

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
        from .panes import Panes

        self._panes = Panes(self)
        self._controls = Controls(self, self.page.rows, searched=self._state.source.searched is not None)
        self._paint_state()
        self._controls.main.value = self._made_table()
        self._controls.figures.value = self._figures()
        self._screen = screen.add(self)
        self._state.watch(self._wake)

    def _replace_in_cell(self) -> None:
        """Close the view that the running cell has shown the last time that it ran."""
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
        """Show what is new, if somebody looks; tells how many messages that took. For the screen's thread."""
        with self._lock:
            controls, now = self._controls, time.monotonic()
            if controls is None or self.closed:
                return 0
            if not controls.seen:
                self.due = None
                return 0
            version = self._state.version
            if version == self._painted and (self.due is None or now < self.due):
                return 0
            sent = self._paint_state()
            waits = []
            moving = self._stood_at is None or not self._table
            if moving and (self._table_at + self._pace > now):
                waits.append(self._table_at + self._pace)
            elif moving:
                self._table_at = now
                sent += self._put(controls.main, self._made_table())
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
            first = not self._rows_kept and self._state.total > 0
            if first or (now > self._snapshot_due):
                self._rows_kept = self._rows_kept or first
                sent += self.leave_snapshot()
            return sent

    @property
    def _pace(self) -> float:
        """Seconds between two tables."""
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
        sent += controls.show_trouble(drawing.main(drawing.errors(told)) if (told := self._told()) else "")
        if feed.word == self._shown_state:
            return sent
        before, self._shown_state = self._shown_state, feed.word
        controls.state.value = drawing.main(drawing.STYLE, self._hidden, drawing.state_line(feed.word, self.title))
        if before is not None and feed.word in ("paused", "closed", "failed"):
            sent += self.leave_snapshot()
        return sent + 1

    def _told(self) -> list[str]:
        """Return what went wrong, each once."""
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
                newer=0 if self._stood_at is None else max(0, feed.total - self._stood_at),
                dropped=feed.dropped,
                skipped=feed.skipped,
                gaps=feed.gaps,
                matching=self.page.matching,
                notes=feed.notes,
            )
        return drawing.main(drawing.figures(shown))

    def _made_table(self) -> str:
        try:
            self._table = self.page.html()
        except Exception as error:
            # A row that cannot be shown must not end the view; the figures go on.
            self._state.problem("showing the rows", error, wake=False)
            self._table = drawing.note(f"the newest rows cannot be shown: {type(error).__name__}: {error}")
        return drawing.main(self._table, moving=True)

    def _still(self, stood: str) -> str:
        """Return the view as a picture of this moment."""
        with self._lock:
            if self._stood_at is None or not self._table:
                self._made_table()
            state = drawing.state_line(self._state.word, self.title, stood=stood)
            table = f'<div style="overflow:auto">{drawing.without_blanks(self._table)}</div>'
            told = drawing.errors(self._told())
            return drawing.main(drawing.STYLE, state, told, self._figures(), table)

    def _snapshot(self, stood: str) -> str:
        return f'<div class="kit-live-snap-{self._id}">{self._still(stood)}</div>'

    def leave_snapshot(self) -> int:
        """Bring the snapshot up to date; tell how many messages that took."""
        if (self._controls is None and not self.closed) or not self._shown:
            return 0
        mark = (self._state.version, self._state.word)
        if mark == self._snapshot_of:
            return 0
        self._snapshot_pause *= 2
        self._snapshot_due = time.monotonic() + self._snapshot_pause
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
        """Show rows as they come, or let the table stand as it is."""
        self._stood_at = None if on else self._state.total
        self._again()

    def press_rows(self, rows: int) -> None:
        self._look(lambda: setattr(self.page, "rows", rows))

    def press_order(self, order: tuple[str, bool]) -> None:
        column, descending = order
        self._look(lambda: self.page.set_order(Order(column, descending=descending) if column else None))

    def press_columns(self, names: Sequence[str] | None) -> None:
        self._look(lambda: self.page.choose(names))

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
        """Look at the rows in another way, at once, though the table be told to stand still."""
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
        try:
            name = self._leave("live", self._state.frame())
        except (KitError, RuntimeError) as error:
            said = str(error)
        else:
            said = f"{len(kernel.shell().user_ns[name]):,} rows are in the variable {name}"
        if controls is not None:
            controls.said.value = drawing.main(drawing.note(said))

    def press_pane(self, name: str) -> None:
        controls = self._controls
        if controls is not None:
            self._panes.press(controls, name)

    # --- what the panes ask -----------------------------------------------------------------------------------------

    def whole_rows(self) -> pa.Table:
        """Return the rows in the buffer; long values may be cut."""
        return self._state.source.shape(self._state.batches()[1], preview=True)[0]

    def shown_rows(self) -> pa.Table:
        """Return the rows in the table, whole."""
        with self._lock:
            return self.page.records()

    def column_names(self) -> tuple[list[str], list[str]]:
        """Return the columns that there are, and those that are shown."""
        with self._lock:
            return list(self.page.names), self.page.shown

    def file_name(self) -> str:
        """Return a file that is not there yet."""
        return saved.free_name(self._stem(), ".parquet")

    def press_save(self, path: str) -> str:
        """Write the rows in the buffer to a file; tell how that went."""
        table = self._state.source.shape(self._state.batches()[1])[0]
        return f"{table.num_rows:,} rows are in {saved.save(table, path)}"

    def found(self, words: str) -> str:
        """Find records in the log that is followed; return what was found, which is in a variable too."""
        if not words:
            return drawing.note("write beside the button what to look for")
        frame, code = lookup.find(self._state.source.searched, words)
        name = self._leave("found", frame)
        return f"{text(f'{name} = log{code}')}{text(frame.kit.scan)}{lookup.frame_html(frame)}"

    def profiled(self) -> str:
        """Return a profile of the log that is followed; it is in a variable too."""
        told = self._state.source.searched.profile(sample=lookup.PROFILED)
        name = self._leave("profile", told)
        return f"{text(f'in the variable {name}')}{told._repr_html_()}"

    def _leave(self, what: str, value: Any) -> str:
        return self._variables.leave(what, f"{self._stem().removesuffix('_live')}_{what}", value)

    def _stem(self) -> str:
        stem = re.sub(r"\W+", "_", self._state.source.label.rpartition("/")[2]).strip("_").lower() or "feed"
        return f"{stem}_live" if not stem[0].isdigit() else f"feed_{stem}_live"

    def seen_changed(self) -> None:
        """Note that a front end has begun to show the view, or has ceased to."""
        screen = self._screen
        if screen is not None:
            screen.look_up()
        self._again()

    def _again(self) -> None:
        self._painted = -1
        self._wake()


def _now() -> str:
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}"
