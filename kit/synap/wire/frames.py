"""The wire format of SynapRPC: frames of MessagePack, and values tagged by their kind.

frame     u32 little endian, then that many bytes
request   [id, command, [value, ...]]
answer    [id, {"Ok": value}] or [id, {"Err": text}]; id 2**32-1 is a push without a request
value     "Null", or {kind: content} with Bool, Int, Float, Bytes, Str, Array of values, Map of pairs of values

All input is treated as hostile: nothing is allocated for a length before its bytes have arrived, and nothing is nested
deeper than `DEEPEST`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from ..errors import SynapInputError, SynapWireError

PUSH = 0xFFFFFFFF
MAX_FRAME = 512 * 1024 * 1024
DEEPEST = 40
"""Levels of MessagePack; each level of a Synap value takes two."""
_SMALL = 4096
"""Messages up to this length are unpacked by the library; its lists then cost at most this many slots a level."""
_length = struct.Struct("<I")
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
_INT64 = range(-(2**63), 2**63)

NULL = b"\xa4Null"
OK = b"\x81\xa3Str\xa2OK"


class Refused(SynapWireError):
    """Bytes that are not a message of SynapRPC."""


def tagged(value: Any) -> Any:
    """Return a Python value in the protocol's form.

    >>> tagged(["a", b"b", 1, None])
    {'Array': [{'Str': 'a'}, {'Bytes': b'b'}, {'Int': 1}, 'Null']}
    """
    kind = type(value)
    if kind is str:
        return {"Str": value}
    if kind is bytes:
        return {"Bytes": value}
    if value is None:
        return "Null"
    if kind is bool:
        return {"Bool": value}
    if kind is int:
        if value not in _INT64:
            raise SynapInputError(f"{value} does not fit into 64 bits")
        return {"Int": value}
    if kind is float:
        return {"Float": value}
    if isinstance(value, bytearray | memoryview):
        return {"Bytes": bytes(value)}
    if isinstance(value, list | tuple):
        return {"Array": [tagged(item) for item in value]}
    if isinstance(value, dict):
        return {"Map": [[tagged(key), tagged(item)] for key, item in value.items()]}
    for kind in (str, bool, int, float):
        if isinstance(value, kind):
            return tagged(kind(value))
    raise SynapInputError(f"SynapRPC cannot carry {type(value).__name__}")


def frame(body: bytes) -> bytes:
    """Return a message with its length before it."""
    if len(body) > MAX_FRAME:
        raise SynapInputError(f"the message has {len(body):,} bytes; a frame holds at most {MAX_FRAME:,}")
    return _length.pack(len(body)) + body


def request(number: int, command: str, args: Sequence[Any] = ()) -> bytes:
    """Return a request as a frame.

    >>> request(1, "PING").hex()
    '080000009301a450494e4790'
    """
    try:
        return frame(_pack([number, command, [tagged(arg) for arg in args]]))
    except UnicodeEncodeError as error:
        raise SynapInputError(f"{command}: a text that UTF-8 cannot encode: {error.reason}") from None


def answer(number: int, value: Any) -> bytes:
    """Return a good answer as a frame.

    >>> answer(1, "PONG").hex()
    '10000000920181a24f6b81a3537472a4504f4e47'
    """
    return frame(_pack([number, {"Ok": tagged(value)}]))


def refusal(number: int, text: str) -> bytes:
    """Return an error as a frame."""
    return frame(_pack([number, {"Err": text}]))


def packed(value: Any) -> bytes:
    """Return a value alone, without frame and number."""
    done: bytes = _pack(tagged(value))
    return done


def answer_packed(number: int, *pieces: bytes) -> bytes:
    """Return a good answer whose value is packed already."""
    head = b"\x92" + _number(number) + b"\x81\xa2Ok"
    size = len(head) + sum(map(len, pieces))
    return b"".join((_length.pack(size), head, *pieces))


def array_head(length: int) -> bytes:
    """Return the beginning of an `Array` of that many values."""
    return b"\x81\xa5Array" + (_pack_array(length))


def _pack_array(length: int) -> bytes:
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big") if length < 65536 else b"\xdd" + length.to_bytes(4, "big")


def _number(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    return b"\xce" + number.to_bytes(4, "big")


class Frames:
    """Cuts input into messages; a length beyond the limit is refused before any of its bytes are kept."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._wanted = 4

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Return the messages that are complete by now."""
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return
        at, end = 0, len(buffer)
        try:
            while end - at >= 4:
                size = int.from_bytes(buffer[at : at + 4], "little")
                if size > self.limit:
                    raise Refused(f"a frame of {size:,} bytes was stated; at most {self.limit:,} are allowed")
                if end - at - 4 < size:
                    self._wanted = 4 + size
                    return
                start = at + 4
                at = start + size
                with memoryview(buffer) as view:
                    body = bytes(view[start:at])
                yield body
            self._wanted = 4
        finally:
            del buffer[:at]

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)


def unpack(data: bytes) -> Any:
    """Unpack one MessagePack object, its size and depth bounded by the data it came in."""
    if len(data) <= _SMALL:
        try:
            return msgpack.unpackb(data, raw=False, strict_map_key=True, max_ext_len=0)
        except UnicodeDecodeError:
            raise Refused("a text that is not UTF-8") from None
        except (ValueError, RecursionError, msgpack.exceptions.UnpackException, TypeError) as error:
            raise Refused(f"not MessagePack: {error or type(error).__name__}") from None
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise Refused(f"{len(data) - reader.at} bytes too many after a message")
    return value


class _Reader:
    """Reads MessagePack value by value. Slower than the library, but checks every length first."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def value(self, depth: int) -> Any:
        """Return the next object."""
        data, at = self.data, self.at
        if at >= len(data):
            raise Refused("a message that ends too early")
        first = data[at]
        self.at = at + 1
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first >= 0xA0 and first < 0xC0:
            return self._text(first & 31)
        if first < 0x90:
            return self._map(first & 15, depth)
        if first < 0xA0:
            return self._array(first & 15, depth)
        if first in _PLAIN:
            return _PLAIN[first]
        if first in _NUMBERS:
            kind = _NUMBERS[first]
            return kind.unpack(self._take(kind.size))[0]
        if first in _SIZED:
            width, what = _SIZED[first]
            size = int.from_bytes(self._take(width), "big")
            if what == "bytes":
                return self._take(size)
            if what == "text":
                return self._text(size)
            return self._array(size, depth) if what == "array" else self._map(size, depth)
        raise Refused(f"the byte {first:#x}, which starts no value")

    def _take(self, size: int) -> bytes:
        at = self.at
        if size > len(self.data) - at:
            raise Refused(f"{size:,} bytes were stated, but there are {len(self.data) - at:,}")
        self.at = at + size
        return self.data[at : at + size]

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise Refused("a text that is not UTF-8") from None

    def _room(self, size: int, depth: int) -> None:
        if size > len(self.data) - self.at:
            raise Refused(f"{size:,} items were stated, but there are {len(self.data) - self.at:,} bytes")
        if depth >= DEEPEST:
            raise Refused(f"nested deeper than {DEEPEST} levels")

    def _array(self, size: int, depth: int) -> list[Any]:
        self._room(size, depth)
        return [self.value(depth + 1) for _ in range(size)]

    def _map(self, size: int, depth: int) -> dict[Any, Any]:
        self._room(2 * size, depth)
        members: dict[Any, Any] = {}
        for _ in range(size):
            key = self.value(depth + 1)
            if not isinstance(key, str | bytes):
                raise Refused("a key that is not text")
            members[key] = self.value(depth + 1)
        return members


_PLAIN = {0xC0: None, 0xC2: False, 0xC3: True}
_NUMBERS = {
    code: struct.Struct(f">{kind}")
    for code, kind in zip((0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3), "fdBHIQbhiq", strict=True)
}
_SIZED = {
    0xC4: (1, "bytes"),
    0xC5: (2, "bytes"),
    0xC6: (4, "bytes"),
    0xD9: (1, "text"),
    0xDA: (2, "text"),
    0xDB: (4, "text"),
    0xDC: (2, "array"),
    0xDD: (4, "array"),
    0xDE: (2, "map"),
    0xDF: (4, "map"),
}


def plain(value: Any, depth: int = 0) -> Any:
    """Return a tagged value as a Python value; a map has its pairs as a dict.

    >>> plain({"Map": [[{"Str": "depth"}, {"Int": 3}]]})
    {'depth': 3}
    """
    if value == "Null":
        return None
    if not isinstance(value, dict) or len(value) != 1:
        raise Refused("a value that is not tagged by its kind")
    if depth > DEEPEST:
        raise Refused(f"nested deeper than {DEEPEST} levels")
    (kind, content), *_ = value.items()
    if kind in _EXACT:
        if type(content) is not _EXACT[kind]:
            if kind == "Float" and type(content) is int:
                return float(content)
            raise Refused(f"content that is not a {kind}")
        return content
    if kind == "Bytes":
        return _bytes(content)
    if not isinstance(content, list):
        raise Refused(f"a value of the kind {str(kind)[:40]!r}")
    if kind == "Array":
        return [plain(item, depth + 1) for item in content]
    if kind == "Map":
        members = {}
        for pair in content:
            if not isinstance(pair, list) or len(pair) != 2:
                raise Refused("a map with an item that is not a pair")
            key = plain(pair[0], depth + 1)
            if isinstance(key, list | dict):
                raise Refused("a value that cannot be a key")
            members[key] = plain(pair[1], depth + 1)
        return members
    raise Refused(f"a value of the kind {str(kind)[:40]!r}")


_EXACT: dict[str, type] = {"Str": str, "Int": int, "Bool": bool, "Float": float}


def _bytes(content: Any) -> bytes:
    if type(content) is bytes:
        return content
    try:
        # Older servers sent bytes as numbers.
        if isinstance(content, list) and all(type(item) is int for item in content):
            return bytes(content)
    except ValueError:
        pass
    raise Refused("content that is not Bytes")


def read_answer(body: bytes) -> tuple[int, bool, Any]:
    """Return the number, whether it is good, and the value or the text of an error."""
    number, good, content = open_answer(unpack(body))
    return number, good, plain(content) if good else content


def open_answer(message: Any) -> tuple[int, bool, Any]:
    """Return the request's number, whether the answer is good, and its value, still tagged."""
    if isinstance(message, list) and len(message) == 2:
        number, result = message
        if type(number) is int and 0 <= number <= PUSH and isinstance(result, dict) and len(result) == 1:
            if "Ok" in result:
                return number, True, result["Ok"]
            if isinstance(result.get("Err"), str):
                return number, False, result["Err"]
    raise Refused("a message that is not an answer")


def peek(body: bytes) -> tuple[int, int]:
    """Return the number of an answer, and where its value begins; 0 for the place where it is not a good answer.

    >>> peek(bytes.fromhex("920181a24f6b81a3537472a4504f4e47"))
    (1, 6)
    """
    if body[:1] != b"\x92":
        raise Refused("a message that is not an answer")
    reader = _Reader(body, 1)
    number = reader.value(DEEPEST)
    if type(number) is not int or not 0 <= number <= PUSH:
        raise Refused("an answer without a number")
    good = body[reader.at : reader.at + 4] == b"\x81\xa2Ok"
    return number, reader.at + 4 if good else 0


def read_request(body: bytes) -> tuple[int, str, list[Any]]:
    """Return number, command and arguments of a request."""
    message = unpack(body)
    if isinstance(message, dict):
        message = [message.get("id"), message.get("command"), message.get("args")]
    if not isinstance(message, list) or len(message) != 3:
        raise Refused("a message that is not a request")
    number, command, args = message
    if type(number) is not int or not 0 <= number <= PUSH or not isinstance(command, str) or type(args) is not list:
        raise Refused("a message that is not a request")
    return number, command, [plain(arg) for arg in args]


def as_bytes(content: Any) -> bytes:
    """Return bytes, given as bytes or as the list of numbers that HTTP carries."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    try:
        if isinstance(content, list):  # of a number alone Python makes that many zeros
            return bytes(content)
    except (TypeError, ValueError):
        pass
    raise Refused("bytes that are not a list of numbers from 0 to 255")
