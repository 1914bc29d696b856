"""`into="polars"` and `into="arrow"`: a verb's result as another library's table.

Whatever gives a DataFrame takes it: a class that derives from `GivesFrames` has it on each public verb whose result is
annotated as one. The Arrow table that a frame was made of is handed on as it is; only a frame that was put together
in another way is turned into one.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from ..errors import InputError, SetupError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Into = Literal["pandas", "polars", "arrow"]
F = TypeVar("F", bound=Callable[..., Any])
_LAST: ContextVar[list[Any] | None] = ContextVar("kit-last-frame", default=None)
"""The last frame made inside a verb with `into=`, and the Arrow table that it was made of."""
_WORDS = '`into="polars"` or `into="arrow"` gives the table of that library.'


def remember(frame: pd.DataFrame, table: pa.Table) -> None:
    """Remember the table that a frame was made of, inside a verb with `into=`."""
    last = _LAST.get()
    if last is not None:
        last[:] = [frame, table]


def shown(table: pa.Table, into: Into, attrs: Mapping[Any, Any] | None = None) -> Any:
    """Return a table of the given library; `attrs` are stored as JSON in an Arrow table's metadata, under "kit"."""
    if into == "polars":
        try:
            import polars
        except ImportError:
            hint = 'install it with: pip install "kit-notebook[polars]"'
            raise SetupError('into="polars" needs the package polars', hint=hint) from None
        return polars.from_arrow(table)
    metadata = json.dumps({str(name): value for name, value in (attrs or {}).items()}, default=str)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), "kit": metadata} if attrs else None)


def checked(into: Any) -> Into:
    """Return `into` if it is a known library; raise otherwise."""
    if into not in get_args(Into):
        raise InputError(f"into={into!r} is not a library", hint=f"choose one of {', '.join(get_args(Into))}")
    return cast(Into, into)


def with_into(verb: F) -> F:
    """Return the verb, which gives a DataFrame, with `into=` beside its own arguments."""

    @wraps(verb)
    def call(*args: Any, into: Into = "pandas", **kwargs: Any) -> Any:
        if checked(into) == "pandas":
            return verb(*args, **kwargs)
        token = _LAST.set([])
        try:
            frame = verb(*args, **kwargs)
            last = _LAST.get()
        finally:
            _LAST.reset(token)
        return shown(_table_of(frame, last), into, frame.attrs)

    own = inspect.Parameter("into", inspect.Parameter.KEYWORD_ONLY, default="pandas", annotation="Into")
    call.__signature__ = beside(inspect.signature(verb), own)  # type: ignore[attr-defined]
    call.__doc__ = f"{inspect.cleandoc(verb.__doc__)}\n\n{_WORDS}" if verb.__doc__ else _WORDS
    return cast(F, call)


def beside(signature: inspect.Signature, *own: inspect.Parameter) -> inspect.Signature:
    """Return a signature with further keyword arguments, before those that have no names."""
    parameters = list(signature.parameters.values())
    at = len(parameters) - any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return signature.replace(parameters=[*parameters[:at], *own, *parameters[at:]])


def _table_of(frame: pd.DataFrame, last: list[Any] | None) -> pa.Table:
    import pyarrow as pa

    if last and last[0] is frame and len(frame) == last[1].num_rows and len(frame.columns) == last[1].num_columns:
        return last[1].rename_columns([str(name) for name in frame.columns])
    return pa.Table.from_pandas(frame).replace_schema_metadata(None)


class GivesFrames:
    """A class whose verbs give DataFrames: each of them takes `into=`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, verb in list(vars(cls).items()):
            if (name == "__call__" or not name.startswith("_")) and inspect.isfunction(verb):
                takes = inspect.signature(verb).parameters
                if verb.__annotations__.get("return") == "pd.DataFrame" and "into" not in takes:
                    setattr(cls, name, with_into(verb))
