"""Single JSON values as columns: the type that holds them, and the column itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from .kinds import DEEPEST, Kind, kind_of, kind_of_type

_TEXTS = {str, type(None)}


def type_of(value: Any) -> pa.DataType:
    """Return the column type that holds one JSON value."""
    return kind_of(value).type()


def widest(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the narrowest type that holds values of all the given ones."""
    kind, data_type = Kind(), pa.null()
    for one in types:
        if pa.types.is_binary(one) and pa.types.is_string(data_type):
            data_type = one  # text is bytes too
            continue
        if pa.types.is_binary(data_type) and pa.types.is_string(one):
            continue
        if pa.types.is_null(data_type):
            data_type = one
        if not pa.types.is_null(one):
            kind.merge(kind_of_type(one))
            data_type = data_type if data_type.equals(one) else kind.type()
    return data_type


def widen(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """Return the narrowest type that holds both."""
    return widest((a, b))


def sound(value: Any, depth: int = 0) -> Any:
    """Return the value with keys that a column can be named by: what UTF-8 cannot hold is shown as escapes.

    >>> sound({"a": 1, "\\ud800": {"\\udfff": 2}})
    {'a': 1, '\\\\ud800': {'\\\\udfff': 2}}
    """
    if depth > DEEPEST or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [sound(item, depth + 1) for item in value]
    return {key if key.isascii() else _clean(key): sound(item, depth + 1) for key, item in value.items()}


def text_of(value: Any) -> str | None:
    """Return a value for a column of text: strings as they are, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return Python values as a column of a type that holds them; as text where it does not."""
    if pa.types.is_string(kind):
        if {*map(type, values)} <= _TEXTS:
            with suppress(UnicodeEncodeError, pa.ArrowInvalid):
                return pa.array(values, kind)
        return pa.array([_clean(text_of(value)) for value in values], kind)
    try:
        return pa.array(_fitted(values, kind), kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
        return pa.array([_clean(text_of(value)) for value in values], pa.string())


def _clean(text: str | None) -> str | None:
    """Replace lone surrogates by their escapes: they are legal in JSON but not in UTF-8."""
    if text is not None and not text.isascii():
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _fitted(values: Sequence[Any], kind: pa.DataType) -> Sequence[Any]:
    """Return values inside lists and objects brought to the type decided for them."""
    if pa.types.is_string(kind):
        return [_clean(text_of(value)) for value in values]
    if pa.types.is_list(kind):
        if _plain(kind.value_type):
            return values
        return [None if value is None else _fitted(value, kind.value_type) for value in values]
    if pa.types.is_struct(kind):
        inner = {field.name: field.type for field in kind}
        # Missing keys stay missing: Arrow fills them in faster.
        return [
            None
            if value is None
            else {name: _fitted((item,), inner[name])[0] for name, item in value.items() if name in inner}
            for value in values
        ]
    if pa.types.is_floating(kind):
        return [None if value is None else _exact(value) for value in values]
    return values


def _plain(kind: pa.DataType) -> bool:
    """Return whether Arrow accepts Python's values of that type."""
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _exact(value: float) -> float:
    if isinstance(value, int) and int(float(value)) != value:
        raise OverflowError("a digit would be lost")
    return float(value)


def recast(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column as a wider type; where a digit would be lost it becomes text instead."""
    cast = recast_or_none(chunk, kind)
    if cast is not None:
        return cast
    if pa.types.is_nested(kind) or pa.types.is_string(kind):
        return array_of(chunk.to_pylist(), kind)
    try:
        return chunk.cast(kind)
    except pa.ArrowInvalid:
        return array_of(chunk.to_pylist(), pa.string())


def recast_or_none(chunk: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Return the column as another type, if that takes nothing but the column: a float does not tell how it was
    written."""
    if chunk.type.equals(kind):
        return chunk
    if chunk.null_count == len(chunk):
        return pa.nulls(len(chunk), kind)
    if pa.types.is_string(kind) and (pa.types.is_integer(chunk.type) or pa.types.is_boolean(chunk.type)):
        return chunk.cast(kind)
    if pa.types.is_integer(chunk.type) and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        try:
            return chunk.cast(kind)
        except pa.ArrowInvalid:
            return None
    return None
