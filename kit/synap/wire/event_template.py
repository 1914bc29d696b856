"""The wire form of a room's event in SynapRPC: the same map for each event, written once as bytes."""

from __future__ import annotations

import msgpack

ID = 36
"""The length of an event's id."""
HEAD = b"\x81\xa3Map\x95\x92\x81\xa3Str\xa2id\x81\xa3Str\xd9$"
OFFSET = b"\x92\x81\xa3Str\xa6offset\x81\xa3Int"
EVENT = b"\x92\x81\xa3Str\xa5event\x81\xa3Str"
DATA = b"\x92\x81\xa3Str\xa4data\x81\xa5Bytes"
STAMP = b"\x92\x81\xa3Str\xa9timestamp\x81\xa3Int"
_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def encoded_event(offset: int, event: str, identity: str, data: bytes, timestamp: int) -> bytes:
    """Return an event as an answer to SREAD holds it."""
    return b"".join(
        (
            HEAD,
            identity.encode(),
            OFFSET,
            _pack(offset),
            EVENT,
            _pack(event),
            DATA,
            _pack(data),
            STAMP,
            _pack(timestamp),
        )
    )
