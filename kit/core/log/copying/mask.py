"""Hiding the values of some fields before anything is sent."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ...errors import InputError, KitError
from ...tables.json.columns import parsed_object
from ...tables.json.scalars import Refused, json_text
from ...tables.json.values import sound
from ...words import nearest

_NOT_WHOLE = re.compile(rb"[0-9][.eE]|-0")
"""What numbers have that Python may write in another way: digits that a float does not hold, 1.10, 1e3."""
WAYS = ("hash", "last4", "drop", "null")


class Mask:
    """What to do with some fields: {"email": "hash", "customer.card": "last4", "note": "drop", "name": str.upper}.

    `hash` replaces a value by the first 16 digits of its SHA-256, so equal values stay equal; give a key where values
    can be guessed, as they could be found by trying. `last4` keeps the last four characters, `drop` removes the field,
    `null` empties it, and a function is called with the value. In a list, each item is masked.
    """

    def __init__(self, given: Mapping[str, Any], key: bytes | str | None, refuse: type[KitError] = InputError) -> None:
        if not isinstance(given, Mapping) or not given:
            raise refuse(f"mask={given!r:.80} hides nothing", hint='give {"email": "hash", "card": "last4"}')
        self._key = key.encode() if isinstance(key, str) else key
        if self._key is not None and not 0 < len(self._key) <= 64:
            raise refuse("mask_key= is a key of 1 to 64 bytes")
        self._ways: dict[str, Callable[[Any], Any] | None] = {}
        self._refuse = refuse
        self._mark = secrets.token_hex(16)
        self._number = re.compile(rb'"' + self._mark.encode() + rb'([-+.0-9eE]+)"')
        self.seen: set[str] = set()
        """Fields that records have had."""
        for name, way in given.items():
            if not isinstance(name, str) or not name:
                raise refuse(f"mask: {name!r} is not a field")
            ways = {"hash": self._hash, "last4": _last4, "null": _nothing, "drop": None}
            if not callable(way) and way not in WAYS:
                hint = nearest(str(way), WAYS) or f"there are {', '.join(WAYS)}, or a function"
                raise refuse(f"mask: {name!r}: {way!r} is not a way to hide it", hint=hint)
            self._ways[name] = way if callable(way) else ways[way]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are hidden."""
        return tuple(self._ways)

    def page(self, bodies: pa.Array, places: pa.Array) -> pa.Array:
        """Return bodies with the fields hidden; refuse one in which they cannot be found."""
        masked = []
        for row, body in enumerate(bodies.to_pylist()):
            value = None if body is None else parsed_object(body)
            if value is None:
                raise self._refuse(
                    f"the record at {places[row].as_py()} is not a JSON object, so nothing can be hidden in it",
                    hint="it was not sent; leave such records out with where=, or start after it with start=",
                )
            if _NOT_WHOLE.search(body) is not None:
                value = sound(json.loads(body.decode(), parse_float=self._kept, parse_int=self._kept))
            for name, way in self._ways.items():
                if self._hide(value, name, way):
                    self.seen.add(name)
            try:
                masked.append(self._number.sub(rb"\1", json_text(value)))
            except Refused as error:
                raise self._refuse(f"the record at {places[row].as_py()}: {error}", hint=error.hint) from None
        return pa.array(masked, pa.binary())

    def _kept(self, text: str) -> Any:
        """Return a number; as a marked text where Python would write it in another way."""
        number = _number_of(text)
        return number if str(number) == text and not isinstance(number, str) else self._mark + text

    def _plain(self, value: Any) -> Any:
        """Return a value with numbers in place of marked texts."""
        if isinstance(value, str) and value.startswith(self._mark):
            return _number_of(value[len(self._mark) :])
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        return {key: self._plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    def _hide(self, value: Any, name: str, way: Callable[[Any], Any] | None) -> bool:
        """Return whether the field is there; every one of that name is hidden, as a key may hold dots itself."""
        hidden = False
        if isinstance(value, list):
            for item in value:
                hidden |= self._hide(item, name, way)
        if not isinstance(value, dict):
            return hidden
        for key in list(value):
            if key == name:
                hidden = True
                if way is None:
                    del value[key]
                else:
                    given = self._plain(value[key])
                    value[key] = [way(one) for one in given] if isinstance(given, list) else way(given)
            elif name.startswith(f"{key}."):
                hidden |= self._hide(value[key], name[len(key) + 1 :], way)
        return hidden

    def _hash(self, value: Any) -> Any:
        if value is None:
            return None
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        raw = text.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(raw) if self._key is None else hashlib.blake2b(raw, key=self._key, digest_size=32)
        return digest.hexdigest()[:16]


def _number_of(text: str) -> int | float | str:
    """Return a number; its text where no float is as large."""
    number = int(text) if text.lstrip("-").isdigit() else float(text)
    return text if number in (math.inf, -math.inf) else number


def _last4(value: Any) -> Any:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    return "*" * max(0, len(text) - 4) + text[-4:] if len(text) > 4 else "*" * len(text)


def _nothing(value: Any) -> None:
    return None
