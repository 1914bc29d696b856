"""Basins, streams and locations as the service's JSON, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..configs import (
    BasinConfig,
    BasinInfo,
    Encryption,
    EnsureStatus,
    LocationInfo,
    StorageClass,
    StreamConfig,
    StreamInfo,
    Timestamping,
    TimestampingMode,
)
from ..errors import S2InputError, WireError
from ..limits import check_kind
from ..types import Page
from .fields import choice, flag, json_list, json_object, maybe, text, time, whole

T = TypeVar("T")


def stream_config_from_json(value: Any, what: str = "stream config") -> StreamConfig:
    fields = json_object(value, what)
    delete_on_empty = maybe(json_object, fields.get("delete_on_empty"), "delete_on_empty") or {}
    return StreamConfig(
        maybe(_storage_class, fields.get("storage_class"), "storage_class"),
        maybe(_retention, fields.get("retention_policy"), "retention_policy"),
        maybe(_timestamping, fields.get("timestamping"), "timestamping"),
        maybe(whole, delete_on_empty.get("min_age_secs"), "delete_on_empty.min_age_secs"),
    )


def stream_config_json(config: StreamConfig, *, nulls: bool = False) -> dict[str, Any]:
    """Return the settings; those that are None are left out, or with `nulls` written as null."""
    check_kind("the settings of a stream", config, StreamConfig)
    fields: dict[str, Any] = {
        "storage_class": maybe(_storage_class, config.storage_class, "storage_class"),
        "retention_policy": None,
        "timestamping": None,
        "delete_on_empty": None,
    }
    retention = config.retention_policy
    if retention is not None:
        fields["retention_policy"] = {"infinite": {}} if retention == "infinite" else {"age": _seconds(retention)}
    if config.timestamping is not None:
        check_kind("StreamConfig.timestamping", config.timestamping, Timestamping)
        mode = config.timestamping.mode
        if mode is not None:
            check_kind("Timestamping.mode", mode, TimestampingMode)
        fields["timestamping"] = _given(
            {"mode": None if mode is None else mode.value, "uncapped": config.timestamping.uncapped}, nulls
        )
    if config.delete_on_empty_min_age is not None:
        fields["delete_on_empty"] = {"min_age_secs": _seconds(config.delete_on_empty_min_age)}
    return _given(fields, nulls)


def basin_config_from_json(value: Any, what: str = "basin config") -> BasinConfig:
    fields = json_object(value, what)
    cipher = fields.get("stream_cipher")
    return BasinConfig(
        maybe(stream_config_from_json, fields.get("default_stream_config"), "default_stream_config"),
        None if cipher is None else choice(Encryption, cipher, "stream_cipher"),
        maybe(flag, fields.get("create_stream_on_append"), "create_stream_on_append"),
        maybe(flag, fields.get("create_stream_on_read"), "create_stream_on_read"),
    )


def basin_config_json(config: BasinConfig, *, nulls: bool = False) -> dict[str, Any]:
    """Return the settings; those that are None are left out, or with `nulls` written as null."""
    check_kind("the settings of a basin", config, BasinConfig)
    streams = config.default_stream_config
    if config.stream_cipher is not None:
        check_kind("BasinConfig.stream_cipher", config.stream_cipher, Encryption)
    fields = {
        "default_stream_config": None if streams is None else stream_config_json(streams, nulls=nulls),
        "stream_cipher": None if config.stream_cipher is None else config.stream_cipher.value,
        "create_stream_on_append": config.create_stream_on_append,
        "create_stream_on_read": config.create_stream_on_read,
    }
    return _given(fields, nulls)


def _given(fields: dict[str, Any], nulls: bool) -> dict[str, Any]:
    return fields if nulls else {name: value for name, value in fields.items() if value is not None}


def _storage_class(value: Any, what: str) -> StorageClass | str:
    name = text(value, what)
    try:
        return StorageClass(name)
    except ValueError:
        return str(name)


def _retention(value: Any, what: str) -> Any:
    fields = json_object(value, what)
    if "infinite" in fields:
        return "infinite"
    return whole(fields.get("age"), f"{what}.age")


def _timestamping(value: Any, what: str) -> Timestamping:
    fields = json_object(value, what)
    mode = fields.get("mode")
    return Timestamping(
        None if mode is None else choice(TimestampingMode, mode, f"{what}.mode"),
        maybe(flag, fields.get("uncapped"), f"{what}.uncapped"),
    )


def _seconds(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise S2InputError(f"an age must be a whole number of seconds, not {value!r}", hint='or "infinite"')
    return value


def basin_info_from_json(value: Any, what: str = "basin") -> BasinInfo:
    fields = json_object(value, what)
    return BasinInfo(
        text(fields.get("name"), f"{what}.name"),
        maybe(text, fields.get("location"), f"{what}.location"),
        time(fields.get("created_at"), f"{what}.created_at"),
        maybe(time, fields.get("deleted_at"), f"{what}.deleted_at"),
    )


def stream_info_from_json(value: Any, what: str = "stream") -> StreamInfo:
    fields = json_object(value, what)
    cipher = fields.get("cipher")
    return StreamInfo(
        text(fields.get("name"), f"{what}.name"),
        time(fields.get("created_at"), f"{what}.created_at"),
        maybe(time, fields.get("deleted_at"), f"{what}.deleted_at"),
        None if cipher is None else choice(Encryption, cipher, f"{what}.cipher"),
    )


def location_from_json(value: Any, what: str = "location") -> LocationInfo:
    fields = json_object(value, what)
    classes = maybe(json_list, fields.get("storage_classes"), f"{what}.storage_classes")
    return LocationInfo(
        text(fields.get("name"), f"{what}.name"),
        flag(fields.get("is_private"), f"{what}.is_private"),
        None if classes is None else [text(name, f"{what}.storage_classes") for name in classes],
        maybe(text, fields.get("default_storage_class"), f"{what}.default_storage_class"),
    )


def locations_from_json(value: Any) -> list[LocationInfo]:
    return [location_from_json(item) for item in json_list(value, "the answer")]


_PROVISIONED = {
    "created": EnsureStatus.CREATED,
    "updated": EnsureStatus.CONFIG_UPDATED,
    "noop": EnsureStatus.CONFIG_UNCHANGED,
}
PROVISION_HEADER = "s2-provision-result"


def ensure_status(header: str | None) -> EnsureStatus:
    """Return what the header of an ensuring call tells.

    >>> ensure_status("noop").name
    'CONFIG_UNCHANGED'
    """
    status = _PROVISIONED.get(header or "")
    if status is None:
        raise WireError(f"the answer does not say what was done: {PROVISION_HEADER} is {header!r}")
    return status


def page_from_json(value: Any, key: str, read: Callable[[Any], T]) -> Page[T]:
    """Return a page of a listing, whose items stand under this key."""
    fields = json_object(value, "page")
    return Page([read(item) for item in json_list(fields.get(key), key)], flag(fields.get("has_more"), "has_more"))
