"""Columns of the types that a caller asks for, from their JSON forms.

    times, dates, times of day    ISO 8601 text; a time without a zone is UTC
    durations                     ISO 8601 text (`P1DT2H3M4.5S`)
    decimals                      their digits, as text or number
    bytes                         base64 text
    integers                      numbers that the type holds exactly
    floats                        numbers in the range of the type, with the digits that it has
    categories                    their values

A value that does not fit its type is not forced into it: it is reported as wrong, and the caller keeps its raw form.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import InputError

Mask = npt.NDArray[np.bool_]

_DURATION = re.compile(
    r"(?P<sign>-)?P(?:(?P<d>-?\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)(?:\.(?P<f>\d{1,9}))?S)?)?"
)
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<h>\d\d):(?P<m>\d\d)(?::(?P<s>\d\d)(?:\.(?P<f>\d{1,9}))?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
)
_EPOCH = date(1970, 1, 1).toordinal()
_ZONE = r"(Z|[+-]\d\d:?\d\d)$"
_UNIT = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def carriers(types: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Return the type that each column is read as before the conversion; refuse types without a JSON form."""
    return {name: carrier(kind, name) for name, kind in types.items()}


def checked(types: Any) -> dict[str, pa.DataType]:
    """Return a caller's `types=` as Arrow types: Arrow's own, their names, or numpy's and pandas' names.

    >>> checked({"n": "int32", "at": pa.timestamp("ns", "UTC")})
    {'n': DataType(int32), 'at': TimestampType(timestamp[ns, tz=UTC])}
    """
    if not isinstance(types, Mapping) and not isinstance(types, pa.Schema):
        raise InputError(f"types={types!r} is not a dict", hint='give one like {"price": pa.decimal128(18, 4)}')
    named_types = zip(types.names, types.types, strict=True) if isinstance(types, pa.Schema) else types.items()
    kinds = {}
    for name, kind in named_types:
        if not isinstance(kind, pa.DataType):
            try:
                kind = pa.type_for_alias(kind) if isinstance(kind, str) else pa.from_numpy_dtype(np.dtype(kind))
            except (ValueError, TypeError, KeyError, pa.ArrowException):
                raise InputError(
                    f"types={{{name!r}: {kind!r}}} is not a type",
                    hint='give an Arrow type, such as pa.int64() or "int64"',
                ) from None
        name = str(name)
        try:
            name.encode()
        except UnicodeEncodeError:
            message = f"types={{{name!r}: ...}} contains half of a character, which no key of JSON text has"
            raise InputError(message) from None
        kinds[name] = kind
    carriers(kinds)
    return kinds


def carrier(kind: pa.DataType, name: str) -> pa.DataType:
    """Return the type of JSON values that the type is made from."""
    types = pa.types
    if types.is_boolean(kind) or types.is_string(kind):
        return kind
    if types.is_integer(kind):
        return pa.uint64() if types.is_uint64(kind) else pa.int64()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(carrier(kind.value_type, name))
    if types.is_struct(kind):
        return pa.struct([(field.name, carrier(field.type, name)) for field in kind])
    if types.is_dictionary(kind):
        return carrier(kind.value_type, name)
    if (
        types.is_temporal(kind) or types.is_decimal(kind) or _is_bytes(kind) or types.is_large_string(kind)
    ) and kind != pa.month_day_nano_interval():
        return pa.string()
    raise InputError(f"types={{{name!r}: {kind}}}: JSON values cannot become that type")


def convert(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Return the column as that type, and which rows could not be; those are missing in it."""
    if column.type.equals(kind):
        return column, None
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        return _lists(column, kind)
    if types.is_struct(kind):
        return _structs(column, kind)
    if types.is_dictionary(kind):
        return _categories(column, kind)
    try:
        return _at_once(column, kind), None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError):
        pass
    values: list[Any] = []
    mask = np.zeros(len(column), np.bool_)
    for n, value in enumerate(column.to_pylist()):
        values.append(None)
        if value is not None:
            try:
                one = _one(value, kind) if _own(kind) else _at_once(pa.array([value], column.type), kind)[0].as_py()
                pa.array([one], kind)  # a value of this kind may still be too long for this type
                values[n] = one
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError, OverflowError):
                mask[n] = True
    return pa.array(values, kind), mask


def _own(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_duration(kind)
        or types.is_decimal(kind)
        or types.is_time(kind)
        or types.is_timestamp(kind)
        or _is_bytes(kind)
    )


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _categories(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Return a column of categories; values for which the type has no more numbers are wrong."""
    items, wrong = convert(column, kind.value_type)
    items = items.dictionary_encode()
    most = 2 ** (kind.index_type.bit_width - pa.types.is_signed_integer(kind.index_type))
    if len(items.dictionary) > most:
        beyond = np.asarray(pc.fill_null(pc.greater_equal(items.indices, most), False))
        wrong = beyond if wrong is None else wrong | beyond
        kept = pc.if_else(pa.array(beyond), None, items.indices)
        items = pa.DictionaryArray.from_arrays(kept, items.dictionary.slice(0, most))
    return items.cast(kind), wrong


def _at_once(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        bare = pc.invert(pc.match_substring_regex(column, _ZONE))
        if pc.any(bare).as_py():
            column = pc.if_else(bare, _joined(column, "Z"), column)
        return column.cast(pa.timestamp(kind.unit, "UTC")).cast(kind)
    if pa.types.is_timestamp(kind):
        return column.cast(kind)
    if pa.types.is_time(kind):
        return _joined("1970-01-01T", column).cast(pa.timestamp(kind.unit)).cast(kind)
    if _own(kind):
        return pa.array([None if value is None else _one(value, kind) for value in column.to_pylist()], kind)
    made = column.cast(kind)
    if pa.types.is_floating(kind) and pc.any(pc.and_not(pc.is_inf(made), pc.is_inf(column))).as_py():
        raise ValueError("a number is too large for the type, which would take it for infinite")
    return made


def _joined(*parts: Any) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _one(value: str, kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return _moment(value, kind)
    if pa.types.is_time(kind):
        return _moment("1970-01-01T" + value, pa.timestamp(kind.unit))
    if pa.types.is_duration(kind):
        return _duration(value, kind)
    if pa.types.is_decimal(kind):
        return _decimal(value, kind)
    return b64decode(value, validate=True)


def _moment(text: str, kind: pa.DataType) -> int:
    """Return a time; Arrow's own conversion fails in the first and last second of its range."""
    match = _MOMENT.fullmatch(text)
    if match is None or (kind.tz is None and match["zone"]):
        raise ValueError(f"{text!r} is not a time of the type {kind}")
    hours, minutes, seconds = (int(match[name] or 0) for name in ("h", "m", "s"))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(f"{text!r} is not a time")
    day = date.fromisoformat(match["day"]).toordinal() - _EPOCH
    zone = (match["zone"] or "Z").replace(":", "")
    shift = 0 if zone == "Z" else int(zone[:3]) * 60 + int(zone[0] + zone[3:])
    total = (((day * 24 + hours) * 60 + minutes - shift) * 60 + seconds) * 10**9
    return _counted(total + int((match["f"] or "").ljust(9, "0")), text, kind)


def _counted(nanoseconds: int, text: str, kind: pa.DataType) -> int:
    count, rest = divmod(nanoseconds, _UNIT[kind.unit])
    if rest or not -(2**63) < count < 2**63:
        raise ValueError(f"{text!r} does not fit {kind}")
    return count


def _duration(text: str, kind: pa.DataType) -> int:
    match = _DURATION.fullmatch(text)
    if match is None or text.endswith(("P", "T")):
        raise ValueError(f"{text!r} is not a duration")
    days, hours, minutes, seconds = (int(match[name] or 0) for name in ("d", "h", "m", "s"))
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    nanoseconds = total * 10**9 + int((match["f"] or "").ljust(9, "0"))
    return _counted(-nanoseconds if match["sign"] else nanoseconds, text, kind)


def _decimal(text: str, kind: pa.DataType) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not value.is_finite():
        raise ValueError(f"{text!r} is not a number")
    return value


def _lists(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask | None]:
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    inside, wrong = convert(column.flatten(), kind.value_type)
    mask = None
    missing = np.asarray(column.is_null())
    if wrong is not None and wrong.any():
        mask = np.zeros(len(column), np.bool_)
        mask[np.repeat(np.arange(len(column)), lengths)[wrong]] = True
        missing = missing | mask
    edges = np.zeros(len(column) + 1, np.int32)
    np.cumsum(lengths, out=edges[1:])
    made = pa.ListArray.from_arrays(pa.array(edges), inside, mask=pa.array(missing) if missing.any() else None)
    return made.cast(kind), mask


def _structs(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Mask | None]:
    parts, mask = [], np.zeros(len(column), np.bool_)
    for field in kind:
        part, wrong = convert(pc.struct_field(column, field.name), field.type)
        parts.append(part)
        if wrong is not None:
            mask |= wrong
    missing = np.asarray(column.is_null()) | mask
    made = pa.StructArray.from_arrays(parts, fields=list(kind), mask=pa.array(missing) if missing.any() else None)
    return made, mask if mask.any() else None
