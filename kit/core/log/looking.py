"""Verbs that search one log or several: every log has them, and whatever holds logs by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..tables.into import GivesFrames

if TYPE_CHECKING:
    import pandas as pd

    from ..tables.frames import BodyMode
    from .copying.copied import Copied
    from .dataset import Ranged
    from .export import Written
    from .profiling.profile import Profile


class Looking(GivesFrames):
    """A log that can be searched."""

    def source(self, **kind: Any) -> Ranged:
        """Return the source of the records by position."""
        raise NotImplementedError

    def find(
        self,
        text: Any = None,
        *,
        where: Any = None,
        path: str | None = None,
        header: Any = None,
        start: Any = "earliest",
        until: Any = None,
        limit: int | None = None,
        newest_first: bool = False,
        context: int = 0,
        ignore_case: bool = False,
        resume: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return the records that match, with a receipt that says what was searched.

        `text` is in the body, as bytes, or as JSON may write it; several in a list: any of them. `where` is a filter
        as in live views: "price > 3 and city = Oslo", {"city": "Oslo"}, a function of the rows, an expression of
        Arrow's. `path` asks inside of JSON: "$.customer.city == 'Oslo'", "$.items[*].price > 10", "$..error". `header`
        is a name, or a name and its value: {"trace": "a1"}. Several of these must all hold.

        The search is from `start` to `until`, places as in `read`; `newest_first` begins at the end. It stops after
        `limit` matches. `context=2` gives two records before and after each match too; the column `match` tells them
        apart. `ignore_case` is for `text`, and for the letters of ASCII.

        `df.kit.scan`, also shown under the frame, is the receipt: what was looked at, whether that was all, why it
        stopped. `find(..., resume=df)` with the same question continues from there without repeating matches; an
        interrupted search leaves its own in `sys.last_value.partial`.

        >>> import kit
        >>> with kit.Lab("s2", join=False) as lab:
        ...     found = lab.s2["demo-shop"]["orders"].find(path="$.amount >= 5", limit=3)
        ...     len(found), found.kit.scan.complete
        (3, False)
        """
        from .finding.find import Criteria, find

        question = Criteria(text, where, path, header, ignore_case, context, newest_first)
        return find(self.source(), question, start, until, limit, resume, body, types)

    def profile(self, start: Any = "earliest", until: Any = None, sample: int | None = None) -> Profile:
        """Return a profile of the log: fields with their types, values and gaps, hours, sizes, changes of shape.

        A notebook shows it on a page; `.df` has a row for each field, `.hours`, `.sizes` and `.drift` are frames,
        `.plot()` a picture. `start` and `until` are places as in `read`. All records are looked at, unless `sample`
        says how many: they are then taken evenly from the whole range, and the profile says so, with its error.

        >>> import kit
        >>> with kit.Lab("s2", join=False) as lab:
        ...     profile = lab.s2["demo-shop"]["orders"].profile()
        ...     profile.records, "total" in set(profile.df["field"])
        (5000, True)
        """
        from .profiling.profile import profile

        return profile(self.source(), start, until, sample)

    def copy_to(
        self,
        other: Looking,
        start: Any = "earliest",
        until: Any = None,
        where: Any = None,
        *,
        mask: Mapping[str, Any] | None = None,
        mask_key: bytes | str | None = None,
        pace: Any = "max",
        follow: bool = False,
        checkpoint: Any = None,
        rare: bool = False,
    ) -> Copied:
        """Copy records to another log, of this service or another; return the result.

        To a stream of S2 or Kimberlite each record is copied once, whatever happens on the way: these check where they
        end. A room of Synap cannot; the answer then counts the records that may be there twice. With `checkpoint`, a
        file, the same call continues where an earlier one was stopped, even by `kill -9`, and later copies what came
        since. `start` and `until` are places as in `read`, `where` is a filter as in `find`.

        `mask` hides values before anything leaves: {"email": "hash", "customer.card": "last4", "note": "drop", "name":
        "null"}, or a function; `mask_key` makes hashes that cannot be found by trying. A record in which nothing can
        be hidden is not sent, and a field that no sampled record has is refused, unless it is `rare`.

        `pace="original"` leaves the gaps between records as they were, `pace=10` goes ten times as fast. `follow`
        copies what comes until it is interrupted. Headers and names of events are kept where the other log has such;
        else they are counted in the answer, and a warning says so.

        >>> import kit
        >>> with kit.Lab("s2", "kimberlite", join=False) as lab:
        ...     _ = lab.kimberlite.create("late_orders")
        ...     lab.s2["demo-shop"]["orders"].copy_to(lab.kimberlite["late_orders"], until=100).records
        100
        """
        from .copying.copy import copy

        if not callable(getattr(other, "source", None)):
            hint = 'give a handle, as s2["basin"]["stream"]'
            raise InputError(f"{type(other).__name__} is not a log to copy to", hint=hint)
        options = {"mask": mask, "mask_key": mask_key, "pace": pace, "follow": follow, "rare": rare}
        return copy(self.source(), other.source(), start, until, where, checkpoint=checkpoint, **options)

    def to_jsonl(
        self, path: Any, start: Any = "earliest", until: Any = None, *, where: Any = None, places: bool = False
    ) -> Written:
        """Write the records to a file, one JSON value per line, in bounded memory; return how many.

        A body that is JSON stays as it is; any other text becomes a JSON string. `append(Path(path))` makes the same
        bodies of it again. With `places=True` each line is an object that also has the position, the time, and what
        else the service tells. `where` is a filter as in `find`. The file appears when all of it is there.

        >>> import kit, pathlib, tempfile
        >>> with kit.Lab("s2", join=False) as lab, tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "orders.jsonl")
        ...     _ = lab.s2["demo-shop"]["orders"].to_jsonl(file, until=100)
        ...     lab.s2["demo-shop"].create("again").append(file).records
        100
        """
        from .export import to_jsonl

        return to_jsonl(self.source(), path, start, until, where, places)

    def to_csv(
        self,
        path: Any,
        start: Any = "earliest",
        until: Any = None,
        *,
        where: Any = None,
        columns: Sequence[str] | str | None = None,
        types: Mapping[str, Any] | None = None,
    ) -> Written:
        """Write the columns of `read` to a CSV file, in bounded memory; return the number of rows.

        Times are ISO 8601 in UTC, lists and objects JSON, bytes that are not text base64; missing values are empty, and
        an empty text is `""`. The columns are those of `arrow`, or the `columns` that are named. A program that opens
        it may take a text that begins with `=` for a formula. The file appears when all of it is there.
        """
        from .export import to_csv

        return to_csv(self.source(), path, start, until, where, columns, types)


class LookingThrough(GivesFrames):
    """A collection of logs by name that can be searched as a whole."""

    _log_column = "stream"
    """The name of the column that holds the logs' names."""

    def _logs(self, prefix: str) -> Mapping[str, Looking]:
        """Return the logs whose names begin with it, in order of names."""
        raise NotImplementedError

    def find(
        self,
        text: Any = None,
        *,
        prefix: str = "",
        where: Any = None,
        path: str | None = None,
        header: Any = None,
        start: Any = "earliest",
        until: Any = None,
        limit: int | None = None,
        newest_first: bool = False,
        context: int = 0,
        ignore_case: bool = False,
        resume: Any = None,
        body: BodyMode = "auto",
        types: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Search all logs whose names begin with `prefix`, in order of their names, and return the matches.

        The first column is the log's name; everything else is as in a log's own `find`. `limit` is for all together.
        The receipt has that of each log in `df.kit.scan.parts`; `resume=df`, with the same question and `start`, goes
        on in those that were not searched. A log that cannot be read is reported by a warning and in
        `attrs["failed"]`.
        """
        from .finding.find import Criteria
        from .finding.find_many import find_many

        if not isinstance(prefix, str):
            raise InputError(f"prefix={prefix!r}: a prefix is a text")
        sources = {name: log.source for name, log in self._logs(prefix).items()}
        question = Criteria(text, where, path, header, ignore_case, context, newest_first)
        return find_many(sources, self._log_column, question, start, until, limit, resume, body, types)
