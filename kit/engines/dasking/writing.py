"""Appending the partitions of a frame to a stream, each from the worker that holds it."""

from __future__ import annotations

import secrets as random
import warnings
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from ...core.errors import InputError, KitError
from ...core.html import one_line
from ...core.log.log import Log
from .reading import Elsewhere

if TYPE_CHECKING:
    import dask.dataframe as dd

Delivery = Literal["at least once", "at most once"]
_TRIES = 3


def from_frame(frame: pd.DataFrame | dd.DataFrame) -> Rows:
    """Return the rows of a Dask or pandas frame, ready to append: `kit.from_frame(frame).append_to(stream)`."""
    if not isinstance(frame, pd.DataFrame) and not hasattr(frame, "to_delayed"):
        raise InputError(f"a frame of Dask or pandas is required, not {type(frame).__name__}")
    return Rows(frame)


class Rows:
    """The rows of a Dask frame, to be appended to a stream. Made by `kit.from_frame(frame)`."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

    def append_to(self, handle: Log[Any], *, delivery: Delivery = "at least once", **options: Any) -> pd.DataFrame:
        """Append the partitions; return one row for each: `partition`, `status`, `first`, `count` and `error`.

        Each partition is appended by the worker that holds it, over its own connection, its rows in order; partitions
        of a frame of Dask come in any order among each other. With "at least once" a partition whose write failed, or
        whose worker was lost, is written again, and rows may be there twice. With "at most once" nothing is sent twice:
        such a partition has the status "unknown", with a warning. `options` are those of the handle's append.
        """
        if delivery not in get_args(Delivery):
            raise InputError(f"delivery={delivery!r} is unknown", hint='choose "at least once" or "at most once"')
        if not isinstance(handle, Log) or not hasattr(handle, "append"):
            raise InputError(
                f"{handle!r} is not a stream that can be appended to", hint="give s2[basin][stream], or k[stream]"
            )
        source = handle.source()
        if isinstance(self._frame, pd.DataFrame):
            writer = Writer(Elsewhere(source), delivery, options, None)
            rows = [writer(self._frame, 0)]
        else:
            rows = self._by_workers(Writer(Elsewhere(source), delivery, options, random.token_hex(8)))
        frame = pd.DataFrame(rows, columns=["partition", "status", "first", "count", "error"])
        frame = frame.astype({"first": "UInt64", "count": "int64", "error": "str"})
        bad = frame[frame["status"] != "written"]
        if len(bad):
            one = bad.iloc[0]
            warnings.warn(
                f"{len(bad)} of {len(frame)} partitions were not written, or perhaps not: {one['partition']}: "
                f"{one['error']}",
                stacklevel=2,
            )
        return frame

    def _by_workers(self, writer: Writer) -> list[Any]:
        import dask

        parts = self._frame.to_delayed()
        write = dask.delayed(writer, pure=False)
        tasks = [write(part, n, dask_key_name=f"kit-append-{writer.run}-{n}") for n, part in enumerate(parts)]
        return list(dask.compute(*tasks))


class Writer:
    """Appends one partition."""

    def __init__(self, target: Elsewhere, delivery: Delivery, options: dict[str, Any], run: str | None) -> None:
        self._target, self._delivery, self._options, self.run = target, delivery, options, run

    def __call__(self, frame: pd.DataFrame, number: int) -> tuple[int, str, int | None, int, str | None]:
        if not len(frame):
            return number, "written", None, 0, None
        once = self._delivery == "at most once"
        if once and not self._claimed(number):
            return number, "unknown", None, 0, "the worker that wrote it was lost; it was not written again"
        error: KitError | None = None
        for _ in range(1 if once else _TRIES):
            target = self._target.open()
            try:
                first, count = target.write(frame, once=once, **self._options)
                return number, "written", first, count, None
            except InputError:
                raise
            except KitError as failure:
                error = failure
            finally:
                target.close()
        return number, "unknown" if once else "failed", None, 0, str(error).splitlines()[0]

    def _claimed(self, number: int) -> bool:
        """Return whether no other worker has begun this partition; from now on this one has."""
        try:
            import distributed

            distributed.get_worker()
        except (ImportError, ValueError):
            return True  # without workers no partition runs twice
        mark = distributed.Event(f"kit-append-{self.run}-{number}")
        if mark.is_set():
            return False
        mark.set()
        return True

    def __repr__(self) -> str:
        return one_line(f"<writer to {self._target.label}>")
