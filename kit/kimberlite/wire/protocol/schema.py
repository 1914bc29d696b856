"""From a dataclass to its wire form and back: both directions follow the annotations of its fields."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from ...errors import KimberliteInputError, WireError
from ...types import Value
from ..blobs import BLOBS, Blobs
from ..values import VALUE
from . import postcard
from .postcard import Kind, Reader

U16 = Annotated[int, postcard.U16]
U32 = Annotated[int, postcard.U32]
U64 = Annotated[int, postcard.U64]
Cell = Annotated[Value, VALUE]
Events = Annotated[Blobs | Sequence[bytes], BLOBS]


class Unread:
    """A request or a response of which only number and name are known; its fields stay undecoded."""

    __slots__ = ("fields",)

    def __init__(self, fields: bytes = b"") -> None:
        self.fields = fields

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.fields == self.fields

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def kind(cls) -> Kind:
        """Return how it is read and written; it stands at the end of its message."""
        return Kind(cls.__name__, lambda out, value: out.extend(value.fields), lambda reader: cls(reader.rest()), 0)


def unread(name: str) -> type[Unread]:
    """Return a class that keeps a place in the numbering."""
    return type(name, (Unread,), {"__slots__": ()})


_PLAIN = {str: postcard.TEXT, bool: postcard.BOOL}


@cache
def kind_of(hint: Any) -> Kind:
    """Return how values of this annotation are written and read."""
    if get_origin(hint) is Annotated:
        return next(kind for kind in hint.__metadata__ if isinstance(kind, Kind))
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _numbered(hint)
    if isinstance(hint, type) and issubclass(hint, Unread):
        return hint.kind()
    if is_dataclass(hint):
        return _struct(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return postcard.list_of(kind_of(arguments[0]))
    if origin in (Union, types.UnionType):
        others = [argument for argument in arguments if argument is not type(None)]
        if len(others) < len(arguments):
            return postcard.option(kind_of(others[0] if len(others) == 1 else Union[tuple(others)]))  # noqa: UP007
        return choice(" | ".join(other.__name__ for other in others), others)
    raise TypeError(f"no wire form for {hint!r}")


def _numbered(enum: type[IntEnum]) -> Kind:
    """Return an enum whose variants hold nothing."""
    members = {int(member): member for member in enum}

    def write(out: bytearray, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value not in members:
            raise KimberliteInputError(
                f"{value!r} is not a {enum.__name__}: {', '.join(member.name for member in enum)}"
            )
        out += postcard.varint(value)

    def read(reader: Reader) -> Any:
        start = reader.at
        number = reader.varint(32)
        if number not in members:
            raise WireError(f"{enum.__name__} has no variant {number} (byte {start})")
        return members[number]

    return Kind(enum.__name__, write, read, 1)


def _struct(cls: Any) -> Kind:
    hints = get_type_hints(cls, include_extras=True)
    parts = [(field.name, kind_of(hints[field.name])) for field in fields(cls)]
    readers = [kind.read for _, kind in parts]

    def write(out: bytearray, value: Any) -> None:
        if type(value) is not cls:
            raise KimberliteInputError(f"a {cls.__name__} is required, not {value!r:.80}")
        for name, kind in parts:
            try:
                kind.write(out, getattr(value, name))
            except KimberliteInputError as error:
                raise KimberliteInputError(f"{name}: {error.message}", hint=error.hint) from None

    def read(reader: Reader) -> Any:
        return cls(*[read(reader) for read in readers])

    return Kind(cls.__name__, write, read, sum(kind.least for _, kind in parts))


def choice(name: str, variants: Sequence[Any]) -> Kind:
    """Return an enum whose variants are structs, in this order."""
    kinds = [kind_of(variant) for variant in variants]
    numbers = {variant: number for number, variant in enumerate(variants)}

    def write(out: bytearray, value: Any) -> None:
        number = numbers.get(type(value))
        if number is None:
            raise KimberliteInputError(f"{value!r:.80} is not a {name}")
        out += postcard.varint(number)
        kinds[number].write(out, value)

    def read(reader: Reader) -> Any:
        start = reader.at
        number = reader.varint(32)
        if number >= len(kinds):
            raise WireError(f"there is no variant {number} of {name} (byte {start})")
        return kinds[number].read(reader)

    return Kind(name, write, read, 1)
