"""What each value must come back as: a plain model that knows nothing of kit, Arrow or pandas.

A *cell* is what a caller means by a value: None, bool, int, float, str, bytes, Decimal, lists and dicts of cells, and
the few below. `problem` says whether a JSON value means the same; `columns` says what bodies look like when read.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import isinf, isnan
from typing import Any

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST, _LAST = -62_135_596_800, 253_402_300_800
"""Seconds of the years 1 to 9999."""
DEEPEST, MAX_KEYS, MAX_FIELDS = 4, 512, 1024


@dataclass(frozen=True)
class Time:
    """A moment: a count of units since 1970, of UTC where it has a zone."""

    count: int
    unit: str
    zone: str | None = None


@dataclass(frozen=True)
class Span:
    """A length of time."""

    count: int
    unit: str


@dataclass(frozen=True)
class Day:
    """A date, in days since 1970."""

    count: int


@dataclass(frozen=True)
class Clock:
    """A time of day."""

    count: int
    unit: str


@dataclass(frozen=True)
class Odd:
    """A value that no log keeps, which has to be refused."""

    what: str


# --- written ----------------------------------------------------------------------------------------------------------


def refused(cell: Any) -> bool:
    """Return whether a value cannot be kept, and so must be refused before anything is sent."""
    if isinstance(cell, Odd):
        return True
    if isinstance(cell, float):
        return isinf(cell)
    if isinstance(cell, Decimal):
        return cell.is_infinite()
    if isinstance(cell, str):
        return any("\ud800" <= char <= "\udfff" for char in cell)
    if isinstance(cell, Time):
        return not _FIRST <= cell.count // PER_SECOND[cell.unit] < _LAST
    if isinstance(cell, Day):
        return not _FIRST <= cell.count * 86_400 < _LAST
    if isinstance(cell, list):
        return any(map(refused, cell))
    if isinstance(cell, dict):
        return any(refused(key) or refused(value) for key, value in cell.items())
    return False


def problem(cell: Any, got: Any) -> str | None:
    """Return what is wrong with a JSON value that stands for the cell; numbers with a point come as Decimal."""
    if _same(cell, got):
        return None
    return f"{cell!r} was written as {got!r}"


def _same(cell: Any, got: Any) -> bool:
    if cell is None or (isinstance(cell, float | Decimal) and cell != cell):
        return got is None
    if isinstance(cell, bool):
        return got is cell
    if isinstance(cell, int):
        return type(got) is int and got == cell
    if isinstance(cell, float):
        return type(got) is Decimal and float(got) == cell and got.is_signed() == (str(cell)[0] == "-")
    if isinstance(cell, str):
        return type(got) is str and got == cell
    if isinstance(cell, Decimal):
        return type(got) is str and Decimal(got).as_tuple() == cell.as_tuple()
    if isinstance(cell, bytes):
        return type(got) is str and b64decode(got, validate=True) == cell
    if isinstance(cell, list):
        return type(got) is list and len(got) == len(cell) and all(map(_same, cell, got))
    if isinstance(cell, dict):
        return type(got) is dict and list(got) == list(cell) and all(map(_same, cell.values(), got.values()))
    return type(got) is str and _timed(cell, got)


def _timed(cell: Any, text: str) -> bool:
    if isinstance(cell, Time):
        found = moment(text)
        per = 10**9 // PER_SECOND[cell.unit]
        return found is not None and found[0] == cell.count * per and found[1] == (cell.zone is not None)
    if isinstance(cell, Day):
        return len(text) == 10 and days(text) == cell.count
    if isinstance(cell, Clock):
        return clock(text) == cell.count * (10**9 // PER_SECOND[cell.unit])
    if isinstance(cell, Span):
        return span(text) == cell.count * (10**9 // PER_SECOND[cell.unit])
    raise AssertionError(cell)


def days(text: str) -> int:
    """Return an ISO date as days since 1970."""
    year, month, day = text.split("-")
    assert len(year) == 4, text
    return date(int(year), int(month), int(day)).toordinal() - date(1970, 1, 1).toordinal()


def clock(text: str) -> int:
    """Return a time of day as nanoseconds."""
    hours, minutes, rest = text.split(":")
    seconds, _, part = rest.partition(".")
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 10**9 + int(part.ljust(9, "0") or 0)


def moment(text: str) -> tuple[int, bool] | None:
    """Return an ISO time as nanoseconds since 1970, and whether it has a zone."""
    day, _, rest = text.partition("T")
    zoned, shift = False, 0
    if rest.endswith("Z"):
        rest, zoned = rest[:-1], True
    elif rest[-6:-5] in ("+", "-"):
        sign = -1 if rest[-6] == "-" else 1
        shift, rest, zoned = sign * (int(rest[-5:-3]) * 60 + int(rest[-2:])) * 60, rest[:-6], True
    if not rest:
        return None
    return (days(day) * 86_400 - shift) * 10**9 + clock(rest), zoned


def span(text: str) -> int:
    """Return an ISO duration as nanoseconds."""
    sign, text = (-1, text[1:]) if text[0] == "-" else (1, text)
    assert text[0] == "P", text
    day, _, rest = text[1:].partition("T")
    total = int(day[:-1]) * 86_400 * 10**9 if day else 0
    number = ""
    for char in rest:
        if char.isdigit() or char == ".":
            number += char
            continue
        whole, _, part = number.partition(".")
        total += {"H": 3600, "M": 60, "S": 1}[char] * int(whole) * 10**9 + int(part.ljust(9, "0") or 0)
        number = ""
    return sign * total


def parsed(body: bytes) -> Any:
    """Return a body as JSON, with numbers that have a point as Decimal."""
    return json.loads(body, parse_float=Decimal)


# --- read -------------------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """What a read shows of bodies: columns by name, each a type and values."""

    mode: str
    columns: dict[str, tuple[str, list[Any]]]
    undecoded: int = 0


def columns(bodies: list[bytes], mode: str, taken: tuple[str, ...], raw: str, quoted: bool = False) -> Shown:
    """Return what bodies look like; `quoted` says that a text is kept as the JSON of it, which texts are shown without."""
    if mode == "auto":
        mode = _looks(bodies)
    if mode == "json":
        objects = [_object(body) for body in bodies]
        keys = list(dict.fromkeys(key for one in objects if one is not None for key in one))
        if len(keys) <= MAX_KEYS:
            return _columns(bodies, objects, keys, taken, raw)
        mode = "text" if all(map(_is_text, bodies)) else "bytes"
    if mode == "bytes":
        return Shown(mode, {raw: ("binary", list(bodies))})
    texts = [body.decode("utf-8", "backslashreplace") for body in bodies]
    if quoted:
        texts = [_unquoted(text) for text in texts]
    return Shown("text", {raw: ("string", texts)}, sum(not _is_text(body) for body in bodies))


def _looks(bodies: list[bytes]) -> str:
    seen = [body for body in bodies[:100] if body]
    if seen and all(body[:1] == b"{" and _object(body) is not None for body in seen):
        return "json"
    return "text" if seen and all(map(_is_text, bodies)) else "bytes"


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text)).encode("utf-8", "backslashreplace").decode()
        except ValueError:
            pass
    return text


def _object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None where there is none, or where a key occurs twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    def number(text: str) -> Any:
        return text if isinf(float(text)) else float(text)

    try:
        found = json.loads(body.decode(), object_pairs_hook=unique, parse_float=number)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return _clean(found) if isinstance(found, dict) else None


def _clean(value: Any) -> Any:
    """Half characters, which JSON has and UTF-8 has not, as their escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(one) for key, one in value.items()}
    return value


def _columns(bodies: list[bytes], objects: list[Any], keys: list[str], taken: tuple[str, ...], raw: str) -> Shown:
    shown: dict[str, tuple[str, list[Any]]] = {}
    used = {*taken, raw}
    for key in keys:
        name = key
        while name in used:
            name = "body." + name
        used.add(name)
        shown[name] = column([None if one is None else one.get(key) for one in objects])
    bad = sum(one is None for one in objects)
    if bad or not shown:
        shown[raw] = ("binary", [body if one is None else None for body, one in zip(bodies, objects, strict=True)])
    return Shown("json", shown, bad)


def column(values: list[Any]) -> tuple[str, list[Any]]:
    """Return the type that holds all the JSON values, and the values in it."""
    kind = _kind(values, 0)
    if fields(kind) > MAX_FIELDS:
        kind = "string"
    return rendered(kind), [_held(value, kind) for value in values]


def _kind(values: list[Any], depth: int) -> Any:
    """A name, ("list", kind) or ("struct", {key: kind})."""
    here = [value for value in values if value is not None]
    kinds = {type(value) for value in here}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        low, high = min(here), max(here)
        if low >= -(2**63) and high < 2**63:
            return "int64"
        return "uint64" if low >= 0 and high < 2**64 else "string"
    if kinds == {float}:
        return "double"
    if kinds == {int, float}:
        wide = [value for value in here if type(value) is int]
        if all(-(2**63) <= value < 2**64 and int(float(value)) == value for value in wide):
            return "double"
        return "string"
    if kinds == {list} and depth < DEEPEST:
        return ("list", _kind([one for value in here for one in value], depth + 1))
    if kinds == {dict} and depth < DEEPEST:
        keys = dict.fromkeys(key for value in here for key in value)
        if keys and len(keys) <= MAX_KEYS:
            return ("struct", {key: _kind([value.get(key) for value in here], depth + 1) for key in keys})
    return "string"


def fields(kind: Any) -> int:
    """Return how many fields a type has in all."""
    if isinstance(kind, str):
        return 0
    if kind[0] == "list":
        return fields(kind[1])
    return sum(1 + fields(one) for one in kind[1].values())


def rendered(kind: Any) -> str:
    """Return the type as text."""
    if isinstance(kind, str):
        return kind
    if kind[0] == "list":
        return f"list<{rendered(kind[1])}>"
    return "struct<" + ", ".join(f"{key!r}: {rendered(one)}" for key, one in kind[1].items()) + ">"


def _held(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if kind == "double":
        return plain(float(value))
    if isinstance(kind, str):
        return value
    if kind[0] == "list":
        return [_held(one, kind[1]) for one in value]
    return {key: _held(value.get(key), one) for key, one in kind[1].items()}


def plain(value: Any) -> Any:
    """Return a value of a column for comparing: a float that is not a number is missing."""
    if isinstance(value, float) and isnan(value):
        return None
    return value
