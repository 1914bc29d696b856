"""A subscription that runs in the background, with the newest rows in a bounded buffer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self

from ...core import loop
from ...core.dropped import close_when_dropped
from ...core.errors import InputError
from ...core.html import one_line, table, text
from ...core.tables.filters import refuse_misspelt, tests_of
from . import checkpoint
from .adapters import options_of, source_of
from .alerts import Alert
from .buffer import Buffer
from .callbacks import Caller
from .engine import Engine
from .gate import Gate
from .rows import Rows
from .source import Source
from .state import FeedState

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ..results.fold import Fold

MAX_ROWS = 500_000
MAX_BYTES = 256 * 1024 * 1024
MOST_GROUPS = 1_000_000
RESULT_ROWS, RESULT_BYTES = 10_000_000, 1024 * 1024 * 1024
"""The limits of a result, which is not a history and is kept whole."""
_BEGINNING = 1.0
"""Seconds to wait for a first answer of the service; then the feed is returned, and waits in the background."""


class Feed(Rows):
    """The rows of a subscription as they come: `feed.df`, `feed.wait(n=...)`, `feed.pause()`, `feed.close()`.

    >>> with Feed([{"n": 1}, {"n": 2, "even": True}], where={"n": [1, 2]}) as feed:
    ...     feed.wait(n=2).df["n"].tolist()
    [1, 2]

    `source` is a handle of this package (`lab.s2["demo-shop"]["orders"]`, with the options of its `live()`), or a
    generator, async or not, of DataFrames, Arrow batches or lists of dicts. `where` selects rows: a function of a
    DataFrame that returns true or false for each row, `{"column": value}`, a text like "price > 3", or a list of these;
    an argument `column=value` does the same. The newest rows are kept, up to `max_rows` and `max_bytes`; older rows
    leave the buffer, and `stats()["dropped"]` counts them. `from_checkpoint` continues where another feed stopped.

    Close the feed, or use it in a `with` block. A feed that nothing refers to is closed, with a ResourceWarning.

    `merge="time"` makes one feed of a list of handles: their rows in the order of their times, each with its `source`.
    A row waits until every source has sent a later one, but at most `tolerance` seconds; `stats()["disordered"]` counts
    rows that came too late for that. Each handle gets the options that its `live()` has.

    The constructor returns when the service has begun to send, so rows that are written after this line are in the
    feed. After one second without an answer it returns anyway, and the feed waits in the background.
    """

    def __init__(
        self,
        source: Any,
        *,
        where: Any = None,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
        from_checkpoint: Any = None,
        merge: Literal["time"] | None = None,
        tolerance: float = 1.0,
        **options: Any,
    ) -> None:
        for name, value in (("max_rows", max_rows), ("max_bytes", max_bytes)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name}={value!r}: give a number from 1 up")
        if merge not in (None, "time"):
            raise InputError(f"merge={merge!r}", hint='merge="time" is what there is, for a list of handles')
        taken, columns = _sorted(source[0] if merge and isinstance(source, list) and source else source, options)
        refuse_misspelt(columns, _ARGUMENTS)
        tests = tests_of(where, columns)
        self.source: Source = source_of(source, **taken) if merge is None else _merged(source, tolerance, options)
        after, self._folds = None, dict[str, str]()
        if from_checkpoint is not None:
            after, self._folds = checkpoint.read(from_checkpoint, self.source.key)
        super().__init__(FeedState(self.source, Gate(tests, self.source), Buffer(max_rows, max_bytes), after))
        self.source.tell = self.shared.report
        self._callers: list[Caller] = []
        self._engine = Engine(self.shared)
        close_when_dropped(self, self._engine.stopped, loop.running_loop(), warning=self._engine.unfinished)
        self._engine.start()
        self._begin()

    def _begin(self) -> None:
        """Wait until the source follows, at most a second: rows that are written after that are in the feed."""
        if not self.source.begins or threading.current_thread().name == "kit-loop":
            return
        try:
            with self.shared.changed:
                self.shared.changed.wait_for(lambda: self.shared.begun, _BEGINNING)
        except BaseException:
            self.close()
            raise

    def batches(self, start: int = 0, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """Return the number of the first row that is still kept from `start` on, and the rows from there in Arrow."""
        return self.shared.batches(start, stop)

    # --- following -------------------------------------------------------------------------------------------------

    def on(self, callback: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
        """Call a function with a DataFrame of each batch of new rows, in a thread of its own. It can be a decorator.

        Its errors are kept in `problems` with their lines, and shown in the view; the feed continues.
        """
        if not callable(callback):
            raise InputError(f"{callback!r} is nothing to call")
        self._callers.append(Caller(self.shared, callback, self))
        return callback

    def off(self, callback: Callable[[pd.DataFrame], Any]) -> None:
        """Stop calling a function."""
        for caller in [known for known in self._callers if known.function == callback]:
            self._callers.remove(caller)
            caller.stop()

    def when(self, where: Any, call: Callable[[pd.DataFrame], Any] | None = None, *, every: float = 0.0) -> Any:
        """Call a function once when rows begin to meet a condition, not again while they do. It can be a decorator.

        `where` takes what the `where` of a feed takes. The function gets each row that meets the condition although the
        row before did not. Of a result (`per`, `newest_by`), it gets the rows of keys that did not meet it before; of a
        live query, the whole result. It is called in a thread of its own, at most once in `every` seconds. The view
        says how often it was called, and its errors are kept in `problems`. `off` ends the calls.

        >>> with Feed([{"n": n} for n in (1, 5, 6, 2, 7)]) as feed:
        ...     @feed.per(high="max:n").when("high > 4")
        ...     def tell(rows): pass
        """
        if call is None:
            return lambda function: self.when(where, function, every=every)
        alert = Alert(self.shared, where, call, every)
        self.shared.alerts.append(alert)
        self._callers.append(Caller(self.shared, alert, self))
        return call

    # --- results ---------------------------------------------------------------------------------------------------

    def per(
        self,
        keys: Any = None,
        *,
        every: Any = None,
        time: str | None = None,
        late: Any = None,
        most: int = MOST_GROUPS,
        **aggregates: str,
    ) -> Feed:
        """Return figures for each key, of every row since the feed began, as a feed whose rows are replaced.

        >>> with Feed([{"city": "Oslo", "total": 2}, {"city": "Rome", "total": 3}, {"city": "Oslo"}]) as feed:
        ...     feed.per("city", n="count", total="sum:total").wait(timeout=10).df
           city  n  total
        0  Oslo  2      2
        1  Rome  1      3

        Each row is counted once, also after lost connections, and with `checkpoint()` also in a later process. No rows
        are kept. Aggregates are `n="count"` or `"count:x"`, `"sum:x"`, `"mean:x"`, `"min:x"`, `"max:x"`, `"first:x"`,
        `"last:x"`, the approximate number of different values (`"distinct:x"`, within about 2 percent) and quantiles
        (`"median:x"`, `"p99:x"`, within 1 percent). Missing values are skipped. Values that do not fit the type of the
        earlier ones, such as texts among numbers, are skipped and counted; `types=` of the feed fixes the type of a
        column. Sums of integers and decimals are exact. Floats are added as they come, so the last digits of their sum
        depend on the batches.

        `every="10s"` computes the figures for each window of time, by the feed's column of times or by `time="column"`.
        A window takes rows as long as it is in the result; with `late="30s"`, until a row comes that is 30 seconds
        after its end. Later rows are counted as late, in `stats()` and in the view. If there are more than `most`
        groups, the oldest windows leave the result, and a note counts them; without windows the feed fails.
        """
        from ..results.per import Per

        return self._folded(Per(keys, every, time, late, most, aggregates))

    def newest_by(self, keys: Any, *, deletes: Any = None, most: int = MOST_GROUPS) -> Feed:
        """Return the latest row of each key, as a feed whose rows are replaced; the newest change is last.

        `deletes` says which rows remove the row of their key. It takes what `where` takes: `{"op": "delete"}`.

        >>> rows = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}, {"id": 2, "v": None}]
        >>> with Feed(rows) as feed:
        ...     feed.newest_by("id", deletes={"v": None}).wait(timeout=10).df
           id  v
        0   1  c
        """
        from ..results.newest import Newest

        return self._folded(Newest(keys, deletes, most))

    def rolling(
        self, keys: Any = None, *, n: int | None = None, seconds: Any = None, time: str | None = None, **aggregates: str
    ) -> Feed:
        """Return figures for each key of the last `n` rows, or of the last `seconds`. Aggregates are those of `per`.

        >>> with Feed([{"n": n} for n in range(100)]) as feed:
        ...     feed.rolling(n=10, mean="mean:n").wait(timeout=10).df
           mean
        0  94.5
        """
        from ..results.rolling import Rolling

        return self._folded(Rolling(keys, n, seconds, time, aggregates))

    def _folded(self, fold: Fold) -> Feed:
        from ..results.folded import Folded

        source = Folded(self, self.shared, fold, self._folds.get(fold.key))
        return Feed(source, max_rows=RESULT_ROWS, max_bytes=RESULT_BYTES)

    def ask(
        self,
        prompt: str,
        columns: Any = None,
        *,
        on: Any = None,
        model: str = "auto",
        max_cost: float = 1.0,
        every: float = 1.0,
        most: int = 20,
        repair: int = 0,
        cache: Any = None,
    ) -> Feed:
        """Return a feed of the same rows with a model's answers beside them, in typed columns.

        `{column}` in the prompt is replaced by the value of the row; `columns` is the same as in `lab.claude.batch`.
        Every `every` seconds the model gets the newest `most` rows, until `max_cost` USD are spent. Other rows get the
        status "skipped", and `df.attrs` counts them. The feed itself never waits for answers. `on` is the explorer to
        ask: `lab.claude` or `kit.connect("claude")`; by default that of the notebook's lab, or of the service that the
        environment names.
        """
        # Imported by name, because feeds know no service.
        answers: Feed = import_module("kit.asking").ask(
            self, prompt, columns, on=on, model=model, max_cost=max_cost, every=every, most=most, repair=repair,
            cache=cache,
        )  # fmt: skip
        return answers

    # --- control ----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop taking rows until `resume`. The service keeps them if it can; otherwise they are counted as skipped."""
        if not self.ended and not self.shared.paused:
            self.shared.paused = True
            self._engine.go_on()
            self.shared.wake()

    def resume(self) -> None:
        """Continue after a pause."""
        if not self.ended and self.shared.paused:
            self.shared.paused = False
            self._engine.go_on()
            self.shared.wake()

    def clear(self) -> None:
        """Empty the buffer. The total and the position stay the same."""
        self.shared.clear()

    def checkpoint(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return the position, and with `path` write it to a file. Another feed continues with `from_checkpoint=`.

        It contains the state of all folds of this feed (`per`, `newest_by`, `rolling`). Call the same verb on the feed
        that continues, and the fold continues with its result.
        """
        if self.source.base is not None:
            return self.source.base.checkpoint(path)  # type: ignore[no-any-return]
        if not self.source.resumes:
            raise InputError(f"{self.source.label} has no positions to go on from")
        place = checkpoint.made(self.shared)
        if path is not None:
            checkpoint.write(place, path)
        return place

    def close(self) -> None:
        """End the feed. Its rows stay available. May be called twice."""
        self._engine.end()
        self._engine.wait()
        if not self.ended:
            self.shared.end()
        for caller in list(self._callers):
            caller.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        rate = "" if self.source.replaces else f", {self.shared.rates.over(10)[0]:,.0f}/s"
        return one_line(f"<Feed of {self.source.label}, {self.state}: {self.total:,} rows{rate}>")

    def _repr_html_(self) -> str:
        return text(repr(self)[1:-1]) + table(("", ""), [(k, v) for k, v in self.stats().items() if v is not None])


_ARGUMENTS = [
    "start",
    "body",
    "types",
    "where",
    "rows",
    "max_rows",
    "max_bytes",
    "from_checkpoint",
    "commands",
    "label",
    "merge",
    "tolerance",
]
"""The options to suggest for a misspelt one."""


def _sorted(source: Any, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of the source, and the others, which are filters by column."""
    own = options_of(source)
    taken = {name: value for name, value in options.items() if name in own}
    return taken, {name: value for name, value in options.items() if name not in own}


def _merged(sources: Any, tolerance: float, options: dict[str, Any]) -> Source:
    from .merged import Merged

    if not isinstance(sources, list | tuple):
        raise InputError('merge="time" takes a list of handles', hint='kit.Feed([a, b], merge="time")')
    return Merged([source_of(handle, **_sorted(handle, options)[0]) for handle in sources], tolerance)
