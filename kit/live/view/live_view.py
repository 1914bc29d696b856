"""The view of a feed, which `.live()` returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...core.errors import InputError
from ...core.html import one_line
from ..feed.feed import Feed
from ..feed.rows import Rows
from . import saved
from .table import drawing
from .table.rows_table import MOST_ROWS
from .widgets import ViewWidgets

if TYPE_CHECKING:
    import pandas as pd

    from ..feed.source import Source

ROWS = 20


class LiveView(Rows):
    """A view of a feed, with everything that a feed has: `view.df`, `view.wait(n=...)`, `view.pause()`, `view.close()`.

    `.live()` returns one, and `LiveView(feed)` shows any feed. Put it on the last line of a cell, or call
    `display(view)`. Where there are no widgets it shows a plain table. If the cell runs again, the old view is closed.
    """

    def __init__(self, feed: Any, *, rows: int = ROWS, title: str | None = None, owns: bool | None = None) -> None:
        if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= MOST_ROWS:
            raise InputError(f"rows={rows!r}: a view shows from 1 to {MOST_ROWS} rows")
        self._owns = not isinstance(feed, Feed) if owns is None else owns
        self.feed: Feed = feed if isinstance(feed, Feed) else Feed(feed)
        """The feed that is shown."""
        self.title = title or self.feed.source.what
        super().__init__(self.feed.shared)
        self.after_stop: Callable[[], Any] = lambda: None
        """Called after its Stop button was pressed, for example to set the keyboard focus."""
        self._widgets = ViewWidgets(self.shared, rows, self.title, self, self._stop)

    def wait(self, n: int | None = None, *, until: Any = None, timeout: float | None = None) -> Feed:  # type: ignore[override]
        """Wait until enough rows have come, and return the feed; see `Feed.wait`."""
        try:
            return self.feed.wait(n, until=until, timeout=timeout)
        finally:
            # By the waiting cell: nbconvert keeps only outputs that come while a cell runs.
            self._widgets.leave_snapshot()

    def on(self, callback: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
        """Call a function with each batch of new rows; see `Feed.on`."""
        return self.feed.on(callback)

    def when(self, where: Any, call: Callable[[pd.DataFrame], Any] | None = None, *, every: float = 0.0) -> Any:
        """Call a function once when rows begin to meet a condition; see `Feed.when`."""
        return self.feed.when(where, call, every=every)

    def off(self, callback: Callable[[pd.DataFrame], Any]) -> None:
        """Stop calling a function; see `Feed.off`."""
        self.feed.off(callback)

    def checkpoint(self, path: Any = None) -> dict[str, Any]:
        """Return the position of the feed, from which another one can continue; see `Feed.checkpoint`."""
        return self.feed.checkpoint(path)

    def per(self, keys: Any = None, **options: Any) -> Feed:
        """Return figures for each key, of every row since the feed began; see `Feed.per`."""
        return self.feed.per(keys, **options)

    def newest_by(self, keys: Any, **options: Any) -> Feed:
        """Return the latest row of each key; see `Feed.newest_by`."""
        return self.feed.newest_by(keys, **options)

    def rolling(self, keys: Any = None, **options: Any) -> Feed:
        """Return figures for each key of the last rows; see `Feed.rolling`."""
        return self.feed.rolling(keys, **options)

    def ask(self, prompt: str, columns: Any = None, **options: Any) -> Feed:
        """Return a feed of the same rows with a model's answers beside them; see `Feed.ask`."""
        return self.feed.ask(prompt, columns, **options)

    def pause(self) -> None:
        """Stop taking rows until `resume`, and leave a snapshot."""
        self.feed.pause()
        self._widgets.leave_snapshot()

    def resume(self) -> None:
        """Continue after a pause."""
        self.feed.resume()

    def clear(self) -> None:
        """Empty the buffer and the table. The total stays the same."""
        self.feed.clear()
        self._widgets.clear()

    def save(self, path: Any) -> Path:
        """Write the rows in the buffer to a file, `.csv` or `.parquet` by its name; return its path.

        >>> import tempfile
        >>> with LiveView([{"n": 1}, {"n": 2}]) as view:
        ...     feed = view.wait(2)
        ...     view.save(Path(tempfile.mkdtemp()) / "rows.csv").read_text().split()
        ['"n"', '1', '2']
        """
        return saved.save(self.shared.source.shape(self.shared.batches()[1])[0], path)

    def watch(self, seconds: float | None = None, every: float = 1.0) -> None:
        """Print the state and the newest rows again and again, until the feed ends or Ctrl-C; for a terminal.

        >>> with LiveView([{"n": 1}, {"n": 2}]) as view:
        ...     feed = view.wait()
        ...     view.watch()  # doctest: +ELLIPSIS
        <LiveView of list, closed: 2 rows, ...>
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        news = self.shared.news
        while True:
            pause = every if deadline is None else min(every, deadline - time.monotonic())
            if pause <= 0 or self.ended:
                break
            try:
                time.sleep(pause)
            except KeyboardInterrupt:
                break
            if self.shared.news != news:
                news = self.shared.news
                print(f"{self!r}\n{self.tail(5).to_string(max_cols=8, max_colwidth=40)}", flush=True)
        print(repr(self))

    def close(self) -> None:
        """Close the view: free its widgets and leave a snapshot. End the feed if `.live()` made it. May be called
        twice."""
        if self._owns:
            self.feed.close()
        self._widgets.close()

    def _stop(self) -> None:
        """End the view and the feed, even if `.live()` did not make it."""
        self._owns = True
        self.close()
        self.after_stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def widget(self) -> Any:
        """The widgets, for a layout of your own. They are freed when the view is closed."""
        return self._widgets.widget

    def __repr__(self) -> str:
        rate = "" if self.shared.source.replaces else f", {drawing.rate(self.shared.rates.over(10)[0])}/s"
        failed = f", {self.stats()['error']}" if self.state == "failed" else ""
        return one_line(f"<LiveView of {self.shared.source.label}, {self.state}: {self.total:,} rows{rate}{failed}>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self._widgets.bundle()

    def _ipython_display_(self) -> None:
        self._widgets.show()


def live(source: Source, rows: int, where: Any, bounds: Mapping[str, Any], columns: Mapping[str, Any]) -> LiveView:
    """Return the view of a new feed, for the `live` verb of every service. Bounds that are None become the defaults."""
    limits = {name: value for name, value in bounds.items() if value is not None}
    return LiveView(Feed(source, where=where, **limits, **columns), rows=rows, owns=True)
