"""Access tokens: which operations they allow on which resources, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from ..errors import S2InputError
from ..limits import check_kind
from .fields import choice, flag, json_list, json_object, maybe, text, time


@dataclass(slots=True)
class ExactMatch:
    """The resource with this name; an empty name matches nothing."""

    value: str


@dataclass(slots=True)
class PrefixMatch:
    """All resources whose names begin with this; an empty prefix matches all."""

    value: str


class Permission(Enum):
    """What a token allows in a group of operations."""

    READ = "read"
    WRITE = "write"
    READ_WRITE = "read-write"


class Operation(Enum):
    """A single operation that a token can allow."""

    LIST_BASINS = "list-basins"
    CREATE_BASIN = "create-basin"
    DELETE_BASIN = "delete-basin"
    RECONFIGURE_BASIN = "reconfigure-basin"
    GET_BASIN_CONFIG = "get-basin-config"
    ISSUE_ACCESS_TOKEN = "issue-access-token"  # noqa: S105
    REVOKE_ACCESS_TOKEN = "revoke-access-token"  # noqa: S105
    LIST_ACCESS_TOKENS = "list-access-tokens"
    LIST_STREAMS = "list-streams"
    CREATE_STREAM = "create-stream"
    DELETE_STREAM = "delete-stream"
    GET_STREAM_CONFIG = "get-stream-config"
    RECONFIGURE_STREAM = "reconfigure-stream"
    CHECK_TAIL = "check-tail"
    APPEND = "append"
    READ = "read"
    TRIM = "trim"
    FENCE = "fence"
    ACCOUNT_METRICS = "account-metrics"
    BASIN_METRICS = "basin-metrics"
    STREAM_METRICS = "stream-metrics"
    LIST_LOCATIONS = "list-locations"
    GET_DEFAULT_LOCATION = "get-default-location"
    SET_DEFAULT_LOCATION = "set-default-location"


@dataclass(slots=True)
class OperationGroupPermissions:
    """What a token allows, by the level of the operation."""

    account: Permission | None = None
    basin: Permission | None = None
    stream: Permission | None = None


@dataclass(slots=True)
class AccessTokenScope:
    """What a token allows: operations, and the resources that they apply to.

    The operations are those of `op_groups` and `ops` together; a kind of resource that is not given is not accessible.
    """

    basins: ExactMatch | PrefixMatch | None = None
    streams: ExactMatch | PrefixMatch | None = None
    access_tokens: ExactMatch | PrefixMatch | None = None
    op_groups: OperationGroupPermissions | None = None
    ops: list[Operation] = field(default_factory=list)


@dataclass(slots=True)
class AccessTokenInfo:
    """An access token, without the credential itself."""

    id: str
    scope: AccessTokenScope
    expires_at: datetime | None
    auto_prefix_streams: bool
    """Whether the scope's stream prefix is added to names on the way in, and taken off on the way out."""


_RESOURCES = ("basins", "streams", "access_tokens")
_GROUPS = ("account", "basin", "stream")


def scope_from_json(value: Any, what: str = "scope") -> AccessTokenScope:
    fields = json_object(value, what)
    groups = maybe(json_object, fields.get("op_groups"), f"{what}.op_groups")
    basins, streams, tokens = (maybe(_resources, fields.get(kind), f"{what}.{kind}") for kind in _RESOURCES)
    permissions = None
    if groups is not None:
        permissions = OperationGroupPermissions(
            *(_permission(groups.get(level), f"{what}.{level}") for level in _GROUPS)
        )
    ops = [choice(Operation, name, f"{what}.ops") for name in json_list(fields.get("ops") or [], f"{what}.ops")]
    return AccessTokenScope(basins, streams, tokens, permissions, ops)


def scope_json(scope: AccessTokenScope) -> dict[str, Any]:
    check_kind("scope", scope, AccessTokenScope)
    fields: dict[str, Any] = {}
    for kind in _RESOURCES:
        match = getattr(scope, kind)
        if match is not None:
            if not isinstance(match, ExactMatch | PrefixMatch):
                # Anything else with a value could be taken for a prefix, which allows more than one name.
                raise S2InputError(
                    f"AccessTokenScope.{kind} must be an ExactMatch or a PrefixMatch, not {type(match).__name__}"
                )
            fields[kind] = {"exact" if isinstance(match, ExactMatch) else "prefix": match.value}
    if scope.op_groups is not None:
        check_kind("AccessTokenScope.op_groups", scope.op_groups, OperationGroupPermissions)
        granted = {level: getattr(scope.op_groups, level) for level in _GROUPS}
        for level, permission in granted.items():
            if permission is not None:
                # One that is unknown would be neither of the two below, and so allow both.
                check_kind(f"OperationGroupPermissions.{level}", permission, Permission)
        fields["op_groups"] = {
            level: {
                "read": permission is not Permission.WRITE,
                "write": permission is not Permission.READ,
            }
            for level, permission in granted.items()
            if permission is not None
        }
    if scope.ops:
        for operation in scope.ops:
            check_kind("an operation of AccessTokenScope.ops", operation, Operation)
        fields["ops"] = [operation.value for operation in scope.ops]
    return fields


def _resources(value: Any, what: str) -> ExactMatch | PrefixMatch:
    fields = json_object(value, what)
    if "exact" in fields:
        return ExactMatch(text(fields["exact"], f"{what}.exact"))
    return PrefixMatch(text(fields.get("prefix"), f"{what}.prefix"))


def _permission(value: Any, what: str) -> Permission | None:
    fields = maybe(json_object, value, what) or {}
    granted = (
        maybe(flag, fields.get("read"), f"{what}.read") or False,
        maybe(flag, fields.get("write"), f"{what}.write") or False,
    )
    return {
        (True, False): Permission.READ,
        (False, True): Permission.WRITE,
        (True, True): Permission.READ_WRITE,
    }.get(granted)


def token_info_from_json(value: Any, what: str = "access token") -> AccessTokenInfo:
    fields = json_object(value, what)
    return AccessTokenInfo(
        text(fields.get("id"), f"{what}.id"),
        scope_from_json(fields.get("scope")),
        maybe(time, fields.get("expires_at"), f"{what}.expires_at"),
        maybe(flag, fields.get("auto_prefix_streams"), f"{what}.auto_prefix_streams") or False,
    )
