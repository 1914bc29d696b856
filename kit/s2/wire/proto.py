"""The service's protobuf messages, made when first needed.

They are described here and not generated: generated code is tied to a release of the protobuf runtime. They have a
descriptor pool of their own, so the official client's messages of the same names can be loaded beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

FILE = "kit/s2/v1.proto"
PACKAGE = "s2.v1"

_U64, _BYTES, _TEXT = "uint64", "bytes", "string"

# (name, number, type), then "repeated" or "optional" if applicable.
_MESSAGES: dict[str, list[tuple[Any, ...]]] = {
    "StreamPosition": [("seq_num", 1, _U64), ("timestamp", 2, _U64)],
    "Header": [("name", 1, _BYTES), ("value", 2, _BYTES)],
    "AppendRecord": [("timestamp", 1, _U64, "optional"), ("headers", 2, "Header", "repeated"), ("body", 3, _BYTES)],
    "AppendInput": [
        ("records", 1, "AppendRecord", "repeated"),
        ("match_seq_num", 2, _U64, "optional"),
        ("fencing_token", 3, _TEXT, "optional"),
    ],
    "AppendAck": [("start", 1, "StreamPosition"), ("end", 2, "StreamPosition"), ("tail", 3, "StreamPosition")],
    "SequencedRecord": [
        ("seq_num", 1, _U64),
        ("timestamp", 2, _U64),
        ("headers", 3, "Header", "repeated"),
        ("body", 4, _BYTES),
    ],
    "ReadBatch": [("records", 1, "SequencedRecord", "repeated"), ("tail", 2, "StreamPosition")],
    # Not messages of the service: they read the same bytes less deeply, at a fraction of the cost.
    "BareRecord": [("seq_num", 1, _U64), ("timestamp", 2, _U64), ("body", 4, _BYTES)],
    "BareBatch": [("records", 1, "BareRecord", "repeated"), ("tail", 2, "StreamPosition")],
    "Outline": [("records", 1, _BYTES, "repeated"), ("tail", 2, "StreamPosition")],
}


@dataclass(frozen=True, slots=True)
class Messages:
    """The message classes, and the error for bytes that cannot be read."""

    AppendInput: Any
    AppendRecord: Any
    AppendAck: Any
    ReadBatch: Any
    BareBatch: Any
    """A batch whose headers are left unread."""
    Outline: Any
    """A batch whose records are left as bytes."""
    DecodeError: type[Exception]
    file: Any
    """The descriptor of them all."""


@cache
def messages() -> Messages:
    """Return the message classes."""
    from google.protobuf import descriptor_pool, message, message_factory  # type: ignore[import-untyped]

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_described())
    made = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }
    names = ("AppendInput", "AppendRecord", "AppendAck", "ReadBatch", "BareBatch", "Outline")
    return Messages(
        **{name: made[name] for name in names},
        DecodeError=message.DecodeError,
        file=pool.FindFileByName(FILE),
    )


def _described() -> bytes:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto  # type: ignore[import-untyped]

    types = {
        _U64: FieldDescriptorProto.TYPE_UINT64,
        _BYTES: FieldDescriptorProto.TYPE_BYTES,
        _TEXT: FieldDescriptorProto.TYPE_STRING,
    }
    file = FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    for message_name, fields in _MESSAGES.items():
        described = file.message_type.add(name=message_name)
        for name, number, kind, *how in fields:
            field = described.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            if kind in types:
                field.type = types[kind]
            else:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            if how == ["repeated"]:
                field.label = FieldDescriptorProto.LABEL_REPEATED
            elif how == ["optional"]:
                field.proto3_optional = True
                field.oneof_index = len(described.oneof_decl)
                described.oneof_decl.add(name=f"_{name}")
    return bytes(file.SerializeToString())
