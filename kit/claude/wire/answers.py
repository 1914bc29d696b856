"""Finding one JSON object in a model's answer, checking it, and converting its values. Unfit values are rejected."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from .columns_spec import Column, Spec, Unfit

_BEGINS = re.compile(r'\{(?=\s*")')
"""The beginning of an object. One without keys says nothing, and other braces are part of the text."""
_MOST = 20
"""Objects that are tried in one answer."""
_ARROW = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "str": pa.string(), "choice": pa.string()}


class _NoNumber:
    """NaN and infinities, which are not JSON and never the value of a column."""

    def __repr__(self) -> str:
        return "not a number"


_NO_NUMBER = _NoNumber()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Unfit("wrong value", "a key occurs twice")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=lambda _: _NO_NUMBER)


def object_in(text: str) -> dict[str, Any]:
    """Return the one JSON object in a text; words and fences around it are left aside.

    Two different objects leave the answer ambiguous, and an incomplete one is no answer, whatever it contains.

    >>> object_in('Sure: ```json {"topic": "praise"} ``` Anything else?')
    {'topic': 'praise'}
    """
    answer: dict[str, Any] | None = None
    at = looked = 0
    while (begun := _BEGINS.search(text, at)) is not None:
        looked += 1
        try:
            value, at = _DECODER.raw_decode(text, begun.start())
        except (ValueError, RecursionError):
            raise Unfit("not json", "an object is incomplete, or not JSON") from None
        if looked > _MOST or (answer is not None and value != answer):
            raise Unfit("not json", "it has several objects")
        answer = value
    if answer is None:
        raise Unfit("not json", "it has no JSON object")
    return answer


def values_in(text: str, spec: Spec) -> tuple[Any, ...]:
    """Return the value of each column, in their order; raise `Unfit` where the answer is not what was asked for.

    >>> from kit.claude.wire.columns_spec import spec_of
    >>> values_in('{"topic": "praise", "score": 1}', spec_of("topic: billing|praise, score: float 0..1"))
    ('praise', 1.0)
    """
    answer = object_in(text)
    for column in spec.columns:
        if column.name not in answer and not column.optional:
            raise Unfit("wrong value", f"{column.name} is missing")
    values = tuple(column.value(answer.get(column.name)) for column in spec.columns)
    if spec.model is not None:
        _judged(spec, dict(zip(spec.names, values, strict=True)))
    return values


def _judged(spec: Spec, values: Mapping[str, Any]) -> None:
    """Check values with the pydantic model. Its rules are the user's own and may raise anything."""
    present = {
        name: value
        for name, value in values.items()
        if value is not None or spec.model.model_fields[name].is_required()
    }
    try:
        spec.model.model_validate(present)
    except Exception as error:
        raise Unfit("wrong value", f"{type(error).__name__}: {str(error)[:300]}") from None


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of a column in Arrow; choices are texts there."""
    kind = _ARROW[column.kind]
    return pa.list_(kind) if column.many else kind


def column_values(column: Column, values: Sequence[Any]) -> Any:
    """Return the column for a frame: category, float64, Int64, boolean, str, or lists; None is missing."""
    import pandas as pd

    if column.many:
        return pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(values, arrow_type(column))]))
    if column.kind == "choice":
        return pd.Categorical(values, categories=list(column.choices))
    if column.kind == "float":
        return pa.array(values, pa.float64()).to_numpy(zero_copy_only=False)
    if column.kind == "str":
        return pd.array([None if value is None else value for value in values], dtype="str")
    return pd.array(values, dtype="Int64" if column.kind == "int" else "boolean")


def agreed(column: Column, values: Iterable[Any]) -> tuple[Any, int]:
    """Return the most frequent of several answers, the earliest of equals, and its count.

    Numbers that are measured (`float`) are not counted: the median is used, which is one of the answers.

    >>> agreed(Column("topic", "choice", ("a", "b")), ["a", "b", "b"])
    ('b', 2)
    """
    listed = list(values)
    if len(listed) < 2:
        return (listed[0], 1) if listed else (None, 0)
    if column.kind == "float" and not column.many:
        known = sorted(one for one in listed if one is not None)
        middle = known[(len(known) - 1) // 2] if known else None
        return middle, sum(one == middle for one in listed)
    counts: dict[str, int] = {}
    first: dict[str, Any] = {}
    for item in listed:
        key = json.dumps(item)
        counts[key] = counts.get(key, 0) + 1
        first.setdefault(key, item)
    best = max(counts, key=lambda key: counts[key])
    return first[best], counts[best]
