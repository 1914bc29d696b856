"""A subscription that runs on while cells run, with the newest rows in a bounded buffer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self

from ..core import loop
from ..core.dropped import close_when_dropped
from ..core.errors import InputError
from ..core.html import one_line, table, text
from ..core.tables.filters import refuse_misspelt, tests_of
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

    from .results.fold import Fold

MAX_ROWS = 500_000
MAX_BYTES = 256 * 1024 * 1024
MOST_GROUPS = 1_000_000
RESULT_ROWS, RESULT_BYTES = 10_000_000, 1024 * 1024 * 1024
"""What a result may have; it is no history, and is shown whole."""
_BEGINNING = 1.0
"""Seconds; a service that takes longer to answer is waited for in the background."""


class Feed(Rows):
    """The rows of a subscription as they come: `feed.df`, `feed.wait(n=...)`, `feed.pause()`, `feed.close()`.

    >>> with Feed([{"n": 1}, {"n": 2, "even": True}], where={"n": [1, 2]}) as feed:
    ...     feed.wait(n=2).df["n"].tolist()
    [1, 2]

    `source` is a handle of this package (`lab.s2["demo-shop"]["orders"]`, with the options of its `live()`), or a
    generator, async or not, of DataFrames, Arrow batches or lists of dicts. `where` says which rows are wanted: a
    function of a DataFrame that tells true or false for each row, `{"column": value}`, a text like "price > 3", or a
    list of these; a `column=value` here does the same. The newest rows are kept, up to `max_rows` and `max_bytes`;
    what had to go is counted in `stats()["dropped"]`. `from_checkpoint` goes on where another feed stood.

    Close it, or use it in a `with` block; one that nothing refers to any more is closed, with a ResourceWarning.

    `merge="time"` makes one feed of a list of handles: their rows in the order of their times, each with its `source`.
    A row waits until every source has told something later, at most `tolerance` seconds; those that come later still
    are counted in `stats()["disordered"]`. Options of their `live()` are given to each that has them.

    A feed of a service is given once it follows, so that what is written after this line is among its rows; a service
    that does not answer within a second is waited for in the background.
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
        """Wait a moment for the source to stand, so that what is written after this is among what it gives."""
        if not self.source.begins or threading.current_thread().name == "kit-loop":
            return
        try:
            with self.shared.changed:
                self.shared.changed.wait_for(lambda: self.shared.begun, _BEGINNING)
        except BaseException:
            self.close()
            raise

    def batches(self, start: int = 0, stop: int | None = None) -> tuple[int, list[pa.RecordBatch]]:
        """Return the rows from number `start` on, in Arrow, and the number of the first that is still kept."""
        return self.shared.batches(start, stop)

    # --- following -------------------------------------------------------------------------------------------------

    def on(self, callback: Callable[[pd.DataFrame], Any]) -> Callable[[pd.DataFrame], Any]:
        """Call a function with a DataFrame of each lot of new rows, in a thread of its own; use it as a decorator too.

        What it raises is kept in `problems` with its line, and shown in the view; the feed goes on.
        """
        if not callable(callback):
            raise InputError(f"{callback!r} is nothing to call")
        self._callers.append(Caller(self.shared, callback, self))
        return callback

    def off(self, callback: Callable[[pd.DataFrame], Any]) -> None:
        """End the calls of a function."""
        for caller in [known for known in self._callers if known.function == callback]:
            self._callers.remove(caller)
            caller.stop()

    def when(self, where: Any, call: Callable[[pd.DataFrame], Any] | None = None, *, every: float = 0.0) -> Any:
        """Call a function once when rows begin to meet a condition, and not again while they do; a decorator too.

        `where` is what a feed takes. Of rows that are added, each that meets it while the one before did not is a
        crossing; of a result (`per`, `newest_by`), each key that did not meet it before; of a live query, the whole
        result. The function is given the rows that crossed, in a thread of its own, at most once in `every` seconds.
        The view says how often it fired; what the function raises is kept in `problems`. `off` ends it.

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
        """Return figures per key, of every row since the feed began, as a feed whose rows are replaced as they change.

        >>> with Feed([{"city": "Oslo", "total": 2}, {"city": "Rome", "total": 3}, {"city": "Oslo"}]) as feed:
        ...     feed.per("city", n="count", total="sum:total").wait(timeout=10).df
           city  n  total
        0  Oslo  2      2
        1  Rome  1      3

        Each row is taken once, also over lost connections, and with `checkpoint()` over the end of this process; no
        rows are kept. Aggregates are `n="count"` or `"count:x"`, `"sum:x"`, `"mean:x"`, `"min:x"`, `"max:x"`,
        `"first:x"`, `"last:x"`, about how many are different (`"distinct:x"`, within some 2 percent) and quantiles
        (`"median:x"`, `"p99:x"`, within 1 percent). What is missing is passed over, and so are values of another kind
        than those before, such as texts among numbers; they are counted, and `types=` of the feed fixes what a column
        is. Sums of integers and decimals are exact; floats are added as they come, so their last digits depend on the
        batches.

        `every="10s"` makes a result for each window of time, by the feed's column of times or by `time="column"`. A
        window takes rows for as long as it is there, or with `late="30s"` until a row has come that is so far behind
        its end; rows that come later still are counted as late, in `stats()` and in the view. Of more than `most`
        groups the oldest windows leave the result, which is told; without windows it fails.
        """
        from .results.per import Per

        return self._folded(Per(keys, every, time, late, most, aggregates))

    def newest_by(self, keys: Any, *, deletes: Any = None, most: int = MOST_GROUPS) -> Feed:
        """Return the latest row of each key: a feed whose rows are replaced as they change, the newest change last.

        `deletes` says which rows remove the one of their key: what `where` takes, such as `{"op": "delete"}`.

        >>> rows = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}, {"id": 2, "v": None}]
        >>> with Feed(rows) as feed:
        ...     feed.newest_by("id", deletes={"v": None}).wait(timeout=10).df
           id  v
        0   1  c
        """
        from .results.newest import Newest

        return self._folded(Newest(keys, deletes, most))

    def rolling(
        self, keys: Any = None, *, n: int | None = None, seconds: Any = None, time: str | None = None, **aggregates: str
    ) -> Feed:
        """Return figures per key of the last `n` rows, or of the last `seconds`. Aggregates are those of `per`.

        >>> with Feed([{"n": n} for n in range(100)]) as feed:
        ...     feed.rolling(n=10, mean="mean:n").wait(timeout=10).df
           mean
        0  94.5
        """
        from .results.rolling import Rolling

        return self._folded(Rolling(keys, n, seconds, time, aggregates))

    def _folded(self, fold: Fold) -> Feed:
        from .results.folded import Folded

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

        `{column}` in the prompt is a row's value; `columns` is as in `lab.claude.batch`. Every `every` seconds the
        newest `most` rows are asked, until `max_cost` USD are spent; the status of the others is "skipped", and
        `df.attrs` counts them. This feed never waits for it. `on` is who answers: `lab.claude`, or what
        `kit.connect("claude")` gives; without it the notebook's lab, or the service that the environment names.
        """
        # By its name: what answers is a service, and feeds know of none.
        answers: Feed = import_module("kit.asking").ask(
            self, prompt, columns, on=on, model=model, max_cost=max_cost, every=every, most=most, repair=repair,
            cache=cache,
        )  # fmt: skip
        return answers

    # --- orders -----------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take nothing in for now. The service holds the rows back where it can; else they are counted as skipped."""
        if not self.ended and not self.shared.paused:
            self.shared.paused = True
            self._engine.go_on()
            self.shared.wake()

    def resume(self) -> None:
        """Go on where it was paused."""
        if not self.ended and self.shared.paused:
            self.shared.paused = False
            self._engine.go_on()
            self.shared.wake()

    def clear(self) -> None:
        """Empty the buffer; total and position stay."""
        self.shared.clear()

    def checkpoint(self, path: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Return where it stands, to go on with `from_checkpoint=`, in another kernel too; write it to a file if asked.

        With it is the state of all that is folded from it (`per`, `newest_by`, `rolling`): the same verb, asked of a
        feed that goes on from here, goes on with its result.
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
        """End it; what it has taken in stays. May be called twice."""
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
"""What a misspelt option may have been meant for."""


def _sorted(source: Any, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return which options are the source's own, and which are filters by column."""
    own = options_of(source)
    taken = {name: value for name, value in options.items() if name in own}
    return taken, {name: value for name, value in options.items() if name not in own}


def _merged(sources: Any, tolerance: float, options: dict[str, Any]) -> Source:
    from .merged import Merged

    if not isinstance(sources, list | tuple):
        raise InputError('merge="time" takes a list of handles', hint='kit.Feed([a, b], merge="time")')
    return Merged([source_of(handle, **_sorted(handle, options)[0]) for handle in sources], tolerance)
