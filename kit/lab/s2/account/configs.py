"""Settings of basins and streams as layers: the stream's own over the basin's over the system's.

A layer is a flat dict of the values that are set, so that merging is `{**below, **above}` and equality is that of
dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....s2.configs import Encryption, TimestampingMode
from ....s2.errors import WireError
from ....s2.wire.fields import flag, json_object, text, whole
from ..http.answers import refusal

Layer = dict[str, Any]
INFINITE = "infinite"

SYSTEM: Layer = {
    "storage_class": "express",
    "retention": 604_800,
    "mode": "client-prefer",
    "uncapped": False,
    "min_age": 0,
}
"""The defaults of a stream; retention and age are in seconds."""

_MODES = [mode.value for mode in TimestampingMode]
_CIPHERS = [cipher.value for cipher in Encryption]


def stream_patch(value: Any) -> Layer:
    """Return the settings in a stream's configuration; those given as null are None, those not given are not there."""
    fields = json_object(value, "stream config")
    layer: Layer = {}
    if "storage_class" in fields:
        layer["storage_class"] = _maybe_text(fields["storage_class"], "storage_class")
    if "retention_policy" in fields:
        layer["retention"] = _retention(fields["retention_policy"])
    if "timestamping" in fields:
        inner = _maybe_object(fields["timestamping"], "timestamping", {"mode": None, "uncapped": None})
        if "mode" in inner:
            layer["mode"] = _choice(inner["mode"], _MODES, "timestamping.mode")
        if "uncapped" in inner:
            layer["uncapped"] = None if inner["uncapped"] is None else flag(inner["uncapped"], "timestamping.uncapped")
    if "delete_on_empty" in fields:
        inner = _maybe_object(fields["delete_on_empty"], "delete_on_empty", {"min_age_secs": None})
        if "min_age_secs" in inner:
            age = inner["min_age_secs"]
            layer["min_age"] = None if age is None else whole(age, "delete_on_empty.min_age_secs")
    return layer


def stream_layer(value: Any) -> Layer:
    """Return the settings in a stream's configuration; null is as if not given."""
    return _set(stream_patch(value))


def resolved(*layers: Layer) -> Layer:
    """Return a stream's settings, every one of them; later layers win."""
    merged = dict(SYSTEM)
    for layer in layers:
        merged.update(layer)
    return merged


def stream_patched(current: Layer, patch: Layer, below: Layer) -> Layer:
    """Return a stream's settings after a patch; cleared values use the basin's."""
    return {**current, **{name: below[name] if value is None else value for name, value in patch.items()}}


def stream_json(layer: Layer) -> dict[str, Any]:
    """Return a configuration as it is answered: all parts, null where nothing is set."""
    retention = layer.get("retention")
    timed = {name: layer.get(name) for name in ("mode", "uncapped")}
    return {
        "storage_class": layer.get("storage_class"),
        "retention_policy": None
        if retention is None
        else {"infinite": {}}
        if retention == INFINITE
        else {"age": retention},
        "timestamping": timed if any(value is not None for value in timed.values()) else None,
        "delete_on_empty": {"min_age_secs": layer["min_age"]} if "min_age" in layer else None,
    }


def basin_patch(value: Any) -> Layer:
    """Return the settings in a basin's configuration, as for streams; `streams` holds the layer for its streams."""
    fields = json_object(value, "basin config")
    layer: Layer = {}
    if "default_stream_config" in fields:
        defaults = fields["default_stream_config"]
        layer["streams"] = None if defaults is None else stream_patch(defaults)
    if "stream_cipher" in fields:
        layer["cipher"] = _choice(fields["stream_cipher"], _CIPHERS, "stream_cipher")
    for name in ("create_stream_on_append", "create_stream_on_read"):
        if name in fields:
            layer[name] = flag(fields[name], name)
    return layer


def basin_layer(value: Any) -> Layer:
    """Return a basin's settings from its configuration."""
    return basin_patched({}, basin_patch(value))


def basin_patched(current: Layer, patch: Layer) -> Layer:
    """Return a basin's settings after a patch, in the one form that they are stored and compared in."""
    merged = {**current, **{name: value for name, value in patch.items() if name != "streams"}}
    streams: Layer = current.get("streams", {})
    if "streams" in patch:
        streams = {} if patch["streams"] is None else _set({**streams, **patch["streams"]})
    merged["streams"] = streams
    return {name: value for name, value in merged.items() if value not in (None, {}, False)}


def basin_json(layer: Layer) -> dict[str, Any]:
    """Return a basin's configuration as it is answered."""
    return {
        "default_stream_config": stream_json(layer["streams"]) if layer.get("streams") else None,
        "stream_cipher": layer.get("cipher"),
        "create_stream_on_append": layer.get("create_stream_on_append", False),
        "create_stream_on_read": layer.get("create_stream_on_read", False),
    }


def _set(layer: Layer) -> Layer:
    return {name: value for name, value in layer.items() if value is not None}


def _retention(value: Any) -> Any:
    if value is None:
        return None
    fields = json_object(value, "retention_policy")
    if list(fields) == ["infinite"]:
        json_object(fields["infinite"], "retention_policy.infinite")
        return INFINITE
    if list(fields) != ["age"]:
        raise WireError('retention_policy must be {"age": seconds} or {"infinite": {}}')
    age = whole(fields["age"], "retention_policy.age")
    if not age:
        raise refusal("invalid", "age must be greater than 0 seconds")
    return age


def _maybe_object(value: Any, what: str, when_null: Mapping[str, Any]) -> Mapping[str, Any]:
    return when_null if value is None else json_object(value, what)


def _maybe_text(value: Any, what: str) -> str | None:
    return None if value is None else text(value, what)


def _choice(value: Any, choices: list[str], what: str) -> str | None:
    if value is None:
        return None
    if value not in choices:
        raise WireError(f"{what} must be one of {', '.join(choices)}")
    return str(value)
