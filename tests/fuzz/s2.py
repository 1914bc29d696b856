"""S2: frames, records in columns by three decoders and as objects, JSON bodies, refusals."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

from kit.core.errors import KitError
from kit.lab.s2.records.inputs import draft_of, draft_of_input
from kit.lab.s2.records.scan import scanned
from kit.s2 import AppendInput, CommandRecord, Compression, ReadBatch, Record, SequencedRecord, StreamPosition
from kit.s2.errors import S2ServerError, WireError, no_side_effects, retryable
from kit.s2.wire import decoding
from kit.s2.wire import json_messages as wire
from kit.s2.wire.columns import columns_of
from kit.s2.wire.frames import FrameReader, encode_frame, encode_terminal
from kit.s2.wire.json_messages import error_of
from kit.s2.wire.messages import encode_input, input_of, read_batch_of
from tests.s2json import encode_batch

from .mutate import cuts
from .running import Difference, Target

RECORDS = [
    SequencedRecord(n, b"body %d " % n * (n % 7), [(b"k", b"v" * n)] if n % 5 == 4 else [], 1_700_000_000_000 + n)
    for n in range(12)
]
BATCHES = [
    ReadBatch([], None),
    ReadBatch(RECORDS, StreamPosition(12, 5)),
    ReadBatch([SequencedRecord(n, b"x" * 20, [], 2**40 + n) for n in range(80)], None),
    ReadBatch([SequencedRecord(2**64 - 1, b"", [(b"", b"fence")], 2**64 - 1)], StreamPosition(0, 0)),
]
DECODERS = ["objects", "layout", "small", *(["ptars"] if decoding.compiled() else [])]


def payloads() -> list[bytes]:
    return [encode_batch(batch) for batch in BATCHES]


def streams() -> list[bytes]:
    """Bodies of sessions: frames one after the other."""
    whole = payloads()
    packed = [encode_frame(whole[2] * 3, packing) for packing in Compression]
    return [
        b"".join(encode_frame(one) for one in whole),
        *packed,
        packed[1] + encode_frame(b"x", reconnect=True),
        encode_frame(whole[1]) + encode_terminal(412, b'{"seq_num_mismatch":7}'),
        encode_terminal(416, b'{"tail":{"seq_num":5,"timestamp":9}}'),
    ]


def read_frames(data: bytes, chance: random.Random) -> None:
    places = cuts(chance, len(data))
    outcomes = []
    for edges in ([0, len(data)], places):
        reader, told = FrameReader(), list[Any]()
        try:
            for a, b in itertools.pairwise(edges):
                for frame in reader.feed(data[a:b]):
                    told.append((frame.payload, frame.reconnect, frame.terminal))
            reader.finish()
        except KitError as error:
            told.append(type(error))
        outcomes.append(told)
    if outcomes[0] != outcomes[1]:
        raise Difference(f"cut at {places[:8]}: {outcomes[0]} and {outcomes[1]}"[:400])
    if outcomes[0] and isinstance(outcomes[0][-1], type):
        raise KitError("refused")


def read_records(data: bytes, chance: random.Random) -> None:
    outcomes: dict[str, Any] = {}
    for decoder in DECODERS:
        try:
            found = columns_of(data, decoder=decoder)
            found.batch.validate(full=True)
            outcomes[decoder] = (found.batch.to_pydict(), found.tail)
        except KitError as error:
            outcomes[decoder] = type(error).__name__
    try:
        batch = read_batch_of(data)
        outcomes["plain"] = (
            {
                "seq_num": [one.seq_num for one in batch.records],
                "timestamp": [one.timestamp for one in batch.records],
                "headers": [[{"name": name, "value": value} for name, value in one.headers] for one in batch.records],
                "body": [one.body for one in batch.records],
            },
            batch.tail,
        )
    except KitError as error:
        outcomes["plain"] = type(error).__name__
    first = outcomes["plain"]
    for way, told in outcomes.items():
        if told != first:
            raise Difference(f"{way} says {str(told)[:200]}, plainly it is {str(first)[:200]}")
    if isinstance(first, str):
        raise KitError("refused")


def read_json(data: bytes, chance: random.Random) -> None:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise KitError("no JSON") from None
    refused = 0
    for read in (wire.tail_from_json, wire.input_from_json):
        for options in ({}, {"as_base64": True}) if read is wire.input_from_json else ({},):
            try:
                read(value, **options)
            except KitError:
                refused += 1
    if refused == 6:
        raise KitError("refused")


def read_refusal(data: bytes, chance: random.Random) -> None:
    error = error_of(chance.choice((400, 404, 409, 412, 416, 429, 500, 503)), data)
    str(error), repr(error), retryable(error), no_side_effects(error)


def bodies() -> list[bytes]:
    batch = wire.batch_json(BATCHES[1])
    return [json.dumps(one).encode() for one in (batch, wire.batch_json(BATCHES[1], as_base64=True))] + [
        b'{"start":{"seq_num":1,"timestamp":2},"end":{"seq_num":3,"timestamp":4},"tail":{"seq_num":3,"timestamp":4}}',
        b'{"tail":{"seq_num":18446744073709551615,"timestamp":0}}',
        b'{"records":[{"body":"x","headers":[["a","b"]],"timestamp":7}],"match_seq_num":3,"fencing_token":"t"}',
    ]


def appends() -> list[bytes]:
    records = [Record(one.body, one.headers, one.timestamp if one.seq_num % 3 else None) for one in RECORDS]
    same = [Record(b"x" * 9, [(b"k", b"%03d" % n)], 1_700_000_000_000 + n) for n in range(20)]
    commands = [CommandRecord.trim(7), CommandRecord.fence("t"), Record(b"")]
    inputs = [AppendInput(records), AppendInput(same, 2**64 - 1, ""), AppendInput(commands, 0, "tök")]
    return [encode_input(one) for one in inputs]


def read_append(data: bytes, chance: random.Random) -> None:
    """Read what a client sends to the embedded server, which must understand by hand what protobuf understands."""
    quick = scanned(data)
    if quick is None:
        draft_of(data)
        return
    try:
        whole = draft_of_input(input_of(data))
    except S2ServerError:
        return  # beyond a limit
    except WireError:
        raise Difference("it reads what is no message") from None
    if quick != whole:
        raise Difference("two readings")


REFUSALS = [
    b'{"code":"stream_not_found","message":"no such stream"}',
    b'{"seq_num_mismatch":7}',
    b'{"fencing_token_mismatch":"t"}',
    b'{"tail":{"seq_num":5,"timestamp":9}}',
    b"<html>",
]

ALL = (
    Target("s2-frames", streams, read_frames, (KitError,), factor=400),
    Target("s2-records", payloads, read_records, (KitError,), factor=2000),
    Target("s2-json", bodies, read_json, (KitError,), text=True),
    Target("s2-appends", appends, read_append, (KitError,), factor=2000),
    Target("s2-refusals", lambda: REFUSALS, read_refusal, (KitError,), text=True),
)
