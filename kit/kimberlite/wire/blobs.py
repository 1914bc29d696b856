"""Lists of byte strings (events) in their wire form: cut by position, without making objects.

A page of a hundred thousand events is one piece of memory and an array of positions; a server can store and send it
as it is, and columns are made from it without a Python object per event.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from ..errors import KimberliteInputError, WireError
from .protocol.postcard import Kind, Reader, cut_off, varint

if TYPE_CHECKING:
    import pyarrow as pa

_MANY = 64
"""From this many events on, a page is first tried as one whose events are all of one size."""


class Blobs(Sequence[bytes]):
    """A sequence of byte strings over its wire form. `raw` is that form, without the count.

    >>> page = Blobs.of([b"one", b"", b"three"])
    >>> page.raw, page[0], page[-1], len(page), page == [b"one", b"", b"three"]
    (b'\\x03one\\x00\\x05three', b'one', b'three', 3, True)
    """

    __slots__ = ("_bounds", "_count", "_data")

    def __init__(self, data: bytes, bounds: array[int], count: int) -> None:
        self._data = data
        self._bounds = bounds
        """Where each length begins and where its contents begin, one after the other; and where the last one ends."""
        self._count = count

    @classmethod
    def of(cls, items: Iterable[bytes]) -> Blobs:
        """Make blobs of objects."""
        if isinstance(items, Blobs):
            return items
        if isinstance(items, bytes | bytearray | memoryview | str):
            raise KimberliteInputError(f"events must be a list of bytes, not {type(items).__name__}")
        out, bounds, at = list[bytes](), array("Q", [0]), 0
        for item in items:
            if not isinstance(item, bytes | bytearray | memoryview):
                raise KimberliteInputError(f"an event must be bytes, not {type(item).__name__}: {item!r:.80}")
            item = bytes(item)
            head = varint(len(item))
            out += (head, item)
            bounds.append(at + len(head))
            at += len(head) + len(item)
            bounds.append(at)
        return cls(b"".join(out), bounds, len(bounds) // 2)

    @classmethod
    def from_raw(cls, raw: bytes, count: int) -> Blobs:
        """Make blobs of the wire form that `raw` gives."""
        reader = Reader(raw)
        offsets = scan(reader, count)
        if reader.at != len(raw):
            raise WireError(f"{len(raw) - reader.at} bytes are left after the last of {count} events")
        return offsets

    @property
    def raw(self) -> bytes:
        """The events with their lengths, without the count."""
        start, stop = (self._bounds[0], self._bounds[-1]) if self._count else (0, 0)
        return self._data if stop - start == len(self._data) else self._data[start:stop]

    @property
    def nbytes(self) -> int:
        """The size of `raw`."""
        return int(self._bounds[-1] - self._bounds[0]) if self._count else 0

    @property
    def content_bytes(self) -> int:
        """The size of the events themselves."""
        if self._count < _MANY:
            return sum(self._bounds[2::2]) - sum(self._bounds[1::2])
        import numpy as np

        bounds = np.asarray(self._bounds)
        return int(bounds[2::2].sum(dtype=np.uint64) - bounds[1::2].sum(dtype=np.uint64))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> Blobs: ...
    def __getitem__(self, at: int | slice) -> bytes | Blobs:
        if isinstance(at, slice):
            start, stop, step = at.indices(self._count)
            if step != 1:
                return Blobs.of([self[n] for n in range(start, stop, step)])
            stop = max(start, stop)
            return Blobs(self._data, self._bounds[2 * start : 2 * stop + 1], stop - start)
        n = at + self._count if at < 0 else at
        if not 0 <= n < self._count:
            raise IndexError(at)
        return self._data[self._bounds[2 * n + 1] : self._bounds[2 * n + 2]]

    def __iter__(self) -> Iterator[bytes]:
        data = self._data
        for start, stop in zip(self._bounds[1::2], self._bounds[2::2], strict=True):
            yield data[start:stop]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Blobs):
            # Lengths may be written in more than one way, so equal events need not have equal bytes.
            return self._count == other._count and (self.raw == other.raw or list(self) == list(other))
        return list(self) == other if isinstance(other, list | tuple) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count:,} events, {self.nbytes:,} bytes>"

    def fitting(self, size: int) -> int:
        """Return how many of the first events take at most that many bytes in `raw`."""
        if not self._count or self.nbytes <= size:
            return self._count
        low, high, start = 0, self._count, self._bounds[0]
        while low < high:
            middle = (low + high + 1) // 2
            if self._bounds[2 * middle] - start <= size:
                low = middle
            else:
                high = middle - 1
        return low

    def pieces(self, size: int) -> Iterator[Blobs]:
        """Return the events in pieces of at most that many bytes of `raw` each, or of one event.

        >>> [list(piece) for piece in Blobs.of([b"a", b"bb", b"c", b"long"]).pieces(5)]
        [[b'a', b'bb'], [b'c'], [b'long']]
        """
        start, bounds = 0, self._bounds
        while start < self._count:
            # Every second entry is the start of an event's length, in ascending order.
            low, high = start + 1, self._count
            while low < high:
                middle = (low + high + 1) // 2
                if bounds[2 * middle] - bounds[2 * start] <= size:
                    low = middle
                else:
                    high = middle - 1
            yield self[start:low]
            start = low

    def before(self, size: int) -> int:
        """Return how many events are read by one who takes another while those it has are smaller than `size`."""
        total = 0
        for n, (start, stop) in enumerate(zip(self._bounds[1::2], self._bounds[2::2], strict=True)):
            if total >= size:
                return n
            total += stop - start
        return self._count

    def to_arrow(self) -> pa.Array:
        """Return the events as an Arrow column of bytes."""
        from .blob_columns import blobs_to_arrow

        return blobs_to_arrow(self._data, self._bounds, self._count)


def scan(reader: Reader, count: int) -> Blobs:
    """Return the positions of as many byte strings as stand there; `WireError` where they do not."""
    data, at, end = reader.data, reader.at, len(reader.data)
    if count >= _MANY and (bounds := _uniform(data, at, count)) is not None:
        reader.at = bounds[-1]
        return Blobs(data, bounds, count)
    bounds = array("I" if end < 2**32 else "Q", [at])
    append = bounds.append
    try:
        for _ in range(count):
            size = data[at]
            at += 1
            if size > 127:
                if data[at] < 128:
                    size = size & 127 | data[at] << 7
                    at += 1
                else:
                    reader.at = at - 1
                    size = reader.varint()
                    at = reader.at
            append(at)
            at += size
            append(at)
    except (IndexError, OverflowError):
        raise cut_off(reader.at, f"the message ends before the last of its {count:,} events") from None
    if at > end:
        raise cut_off(reader.at, f"the message ends before the last of its {count:,} events")
    reader.at = at
    return Blobs(data, bounds, count)


def _uniform(data: bytes, at: int, count: int) -> array[int] | None:
    """Return the positions if all the events are of one size; they can be compared all at once."""
    import numpy as np

    first = Reader(data, at)
    size = first.varint()
    head = first.at - at
    step = head + size
    if at + count * step > len(data) or len(data) >= 2**32:
        return None
    block = np.frombuffer(data, np.uint8, count * step, at).reshape(count, step)
    if not (block[:, :head] == block[0, :head]).all():
        return None
    bounds = array("I", bytes(4 * (2 * count + 1)))
    places = np.frombuffer(bounds, np.uint32)
    places[::2] = np.arange(at, at + count * step + 1, step, dtype=np.uint32)
    places[1::2] = places[2::2] - size
    return bounds


def _write(out: bytearray, value: Any) -> None:
    blobs = Blobs.of(value)
    out += varint(len(blobs))
    out += blobs.raw


def _read(reader: Reader) -> Blobs:
    return scan(reader, reader.count())


BLOBS = Kind("[bytes]", _write, _read, 1)
