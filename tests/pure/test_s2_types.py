"""The reference's names, fields, defaults and values are all there, and importing them costs little."""

import dataclasses
import enum
import inspect
import subprocess
import sys
from datetime import timedelta

import pytest

from kit import s2
from kit.core.errors import InputError

ENUMS = {
    "Compression": {"NONE": "none", "ZSTD": "zstd", "GZIP": "gzip"},
    "AppendRetryPolicy": {"ALL": "all", "NO_SIDE_EFFECTS": "no-side-effects"},
    "Encryption": {"AEGIS_256": "aegis-256", "AES_256_GCM": "aes-256-gcm"},
    "StorageClass": {"STANDARD": "standard", "EXPRESS": "express"},
    "TimestampingMode": {"CLIENT_PREFER": "client-prefer", "CLIENT_REQUIRE": "client-require", "ARRIVAL": "arrival"},
    "EnsureStatus": {"CREATED": "created", "CONFIG_UPDATED": "config-updated", "CONFIG_UNCHANGED": "config-unchanged"},
    "Permission": {"READ": "read", "WRITE": "write", "READ_WRITE": "read-write"},
    "Operation": {
        name.upper().replace("-", "_"): name
        for name in (  # noqa: SIM905
            "list-basins create-basin delete-basin reconfigure-basin get-basin-config issue-access-token "
            "revoke-access-token list-access-tokens list-streams create-stream delete-stream get-stream-config "
            "reconfigure-stream check-tail append read trim fence account-metrics basin-metrics stream-metrics "
            "list-locations get-default-location set-default-location"
        ).split()
    },
    "MetricUnit": {"BYTES": "bytes", "OPERATIONS": "operations", "USD": "usd"},
    "TimeseriesInterval": {"MINUTE": "minute", "HOUR": "hour", "DAY": "day"},
    "AccountMetricSet": {
        "ACTIVE_BASINS": "active-basins",
        "ACCOUNT_OPS": "account-ops",
        "ESTIMATED_BILLABLE_USAGE": "estimated-billable-usage",
    },
    "BasinMetricSet": {
        name.upper().replace("-", "_"): name
        for name in ("storage", "append-ops", "read-ops", "read-throughput", "append-throughput", "basin-ops")
    },
    "StreamMetricSet": {"STORAGE": "storage"},
}
NEEDED = object()
FIELDS = {
    "Timeout": {"request": timedelta(seconds=5), "connection": timedelta(seconds=3)},
    "Retry": {
        "max_attempts": 3,
        "min_base_delay": timedelta(milliseconds=100),
        "max_base_delay": timedelta(seconds=1),
        "append_retry_policy": s2.AppendRetryPolicy.ALL,
    },
    "Batching": {"max_records": 1000, "max_bytes": 1048576, "linger": timedelta(milliseconds=5)},
    "Record": {"body": NEEDED, "headers": [], "timestamp": None},
    "AppendInput": {"records": NEEDED, "match_seq_num": None, "fencing_token": None, "stream_config": None},
    "AppendAck": dict.fromkeys(("start", "end", "tail"), NEEDED),
    "IndexedAppendAck": dict.fromkeys(("seq_num", "batch"), NEEDED),
    "StreamPosition": dict.fromkeys(("seq_num", "timestamp"), NEEDED),
    "ReadLimit": {"count": None, "bytes": None},
    "ReadBatch": {"records": NEEDED, "tail": None},
    "SequencedRecord": dict.fromkeys(("seq_num", "body", "headers", "timestamp"), NEEDED),
    "SeqNum": {"value": NEEDED},
    "Timestamp": {"value": NEEDED},
    "TailOffset": {"value": NEEDED},
    "Page": dict.fromkeys(("items", "has_more"), NEEDED),
    "Timestamping": {"mode": None, "uncapped": None},
    "StreamConfig": dict.fromkeys(
        ("storage_class", "retention_policy", "timestamping", "delete_on_empty_min_age"), None
    ),
    "BasinConfig": dict.fromkeys(
        ("default_stream_config", "stream_cipher", "create_stream_on_append", "create_stream_on_read"), None
    ),
    "LocationInfo": {"name": NEEDED, "is_private": NEEDED, "storage_classes": None, "default_storage_class": None},
    "BasinInfo": dict.fromkeys(("name", "location", "created_at", "deleted_at"), NEEDED),
    "StreamInfo": {"name": NEEDED, "created_at": NEEDED, "deleted_at": NEEDED, "cipher": None},
    "EnsuredBasinInfo": dict.fromkeys(("basin", "status"), NEEDED),
    "EnsuredStreamInfo": dict.fromkeys(("stream", "status"), NEEDED),
    "ExactMatch": {"value": NEEDED},
    "PrefixMatch": {"value": NEEDED},
    "OperationGroupPermissions": dict.fromkeys(("account", "basin", "stream"), None),
    "AccessTokenScope": {"basins": None, "streams": None, "access_tokens": None, "op_groups": None, "ops": []},
    "AccessTokenInfo": dict.fromkeys(("id", "scope", "expires_at", "auto_prefix_streams"), NEEDED),
    "Scalar": dict.fromkeys(("name", "unit", "value"), NEEDED),
    "Accumulation": dict.fromkeys(("name", "unit", "interval", "values"), NEEDED),
    "Gauge": dict.fromkeys(("name", "unit", "values"), NEEDED),
    "Label": dict.fromkeys(("name", "values"), NEEDED),
}
OTHERS = {
    "CommandRecord",
    "Endpoints",
    "S2Error",
    "S2ClientError",
    "S2ServerError",
    "AppendConditionError",
    "FencingTokenMismatchError",
    "SeqNumMismatchError",
    "ReadUnwrittenError",
    "append_inputs",
    "append_record_batches",
    "metered_bytes",
}


def test_every_name_is_public_and_says_where_it_is_imported_from():
    for name in {*ENUMS, *FIELDS, *OTHERS}:
        assert name in s2.__all__, name
        assert getattr(s2, name).__module__ == "kit.s2", name
    for name in s2.__all__:
        assert (getattr(s2, name).__doc__ or "").strip(), name


@pytest.mark.parametrize("name", ENUMS)
def test_enums(name):
    kind = getattr(s2, name)
    assert issubclass(kind, enum.Enum)
    assert {member.name: member.value for member in kind} == ENUMS[name]
    for value in ENUMS[name].values():
        assert kind(value).value == value


@pytest.mark.parametrize("name", FIELDS)
def test_data_classes(name):
    kind = getattr(s2, name)
    assert kind.__slots__ == tuple(FIELDS[name])
    parameters = inspect.signature(kind).parameters
    needed = [field for field, default in FIELDS[name].items() if default is NEEDED]
    made = kind(*range(len(needed)))
    for n, field in enumerate(needed):
        assert getattr(made, field) == n
        assert parameters[field].default is inspect.Parameter.empty
    for field, default in FIELDS[name].items():
        if default is not NEEDED:
            assert getattr(made, field) == default, field
    # Mutable, comparable, and no field is shared between two of them.
    other = kind(*range(len(needed)))
    assert made == other
    assert not dataclasses.fields(kind)[0].type.startswith("ClassVar")
    first = next(iter(FIELDS[name]))
    setattr(made, first, "changed")
    assert made != other
    for field, default in FIELDS[name].items():
        if default == []:
            assert getattr(made, field) is not getattr(other, field)
    with pytest.raises(AttributeError):
        made.no_such_field = 1


def test_command_records():
    fence, trim = s2.CommandRecord.fence("é"), s2.CommandRecord.trim(258)
    assert fence == s2.Record(b"\xc3\xa9", [(b"", b"fence")])
    assert trim == s2.Record(bytes.fromhex("0000000000000102"), [(b"", b"trim")])
    assert s2.CommandRecord.trim(2**64 - 1).body == b"\xff" * 8
    assert s2.CommandRecord.fence("").body == b""
    with pytest.raises(s2.S2ClientError, match=r"36 bytes of UTF-8; 'é{19}' has 38"):
        s2.CommandRecord.fence("é" * 19)
    for number in (-1, 2**64, 1.5, True, "1"):
        with pytest.raises(s2.S2ClientError, match="sequence number to trim to must be") as caught:
            s2.CommandRecord.trim(number)
        assert isinstance(caught.value, InputError)


@pytest.mark.parametrize(
    ("headers", "is_command"),
    [
        ([], False),
        ([(b"", b"fence")], True),
        ([(b"", b"")], True),
        ([(b"a", b"")], False),
        ([(b"", b"fence"), (b"a", b"b")], False),
        ([(b"", b"x"), (b"", b"y")], False),
    ],
)
def test_what_is_a_command_record(headers, is_command):
    assert s2.SequencedRecord(0, b"", headers, 0).is_command_record() is is_command


def test_a_storage_class_equals_its_name():
    assert s2.StorageClass.EXPRESS == "express"
    assert s2.StreamConfig("express") == s2.StreamConfig(s2.StorageClass.EXPRESS)


def test_metered_bytes():
    assert s2.metered_bytes([]) == 0
    assert s2.metered_bytes([s2.Record(b"")]) == 8
    assert s2.metered_bytes(iter([s2.Record(b"abc", [(b"n", b"val"), (b"", b"")], 5)])) == 8 + 3 + 2 * 2 + 4
    assert s2.metered_bytes([s2.SequencedRecord(1, b"ab", [(b"", b"fence")], 2)]) == 8 + 2 + 2 + 5


def test_import_loads_nothing_that_only_some_calls_need():
    heavy = ("pyarrow", "pandas", "numpy", "google.protobuf", "zstandard", "ptars", "h2", "matplotlib", "ipywidgets")
    modules = (
        "types", "errors", "wire.messages", "wire.frames", "wire.json_messages", "wire.resources", "client.endpoints",
        "client.sessions.batching",
    )  # fmt: skip
    for module in modules:
        code = f"import kit.s2.{module}, sys; print([m for m in {heavy} if m in sys.modules])"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out.strip() == "[]", module
