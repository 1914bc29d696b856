"""What a token allows: operations, and the resources that they apply to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....s2.errors import WireError
from ....s2.limits import MAX_STREAM_NAME, MAX_TOKEN_ID
from ....s2.wire.fields import flag, json_list, json_object, text
from ....s2.wire.tokens import Operation
from ..http.answers import refusal
from .names import basin_fault, basin_prefix_fault, prefix_fault, stream_fault, token_fault

OPERATIONS = frozenset(operation.value for operation in Operation)
GROUPS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "account": {
        "read": frozenset(
            {
                "list-basins",
                "get-basin-config",
                "list-access-tokens",
                "account-metrics",
                "list-locations",
                "get-default-location",
            }
        ),
        "write": frozenset(
            {
                "create-basin",
                "delete-basin",
                "reconfigure-basin",
                "issue-access-token",
                "revoke-access-token",
                "set-default-location",
            }
        ),
    },
    "basin": {
        "read": frozenset({"list-streams", "get-stream-config", "basin-metrics"}),
        "write": frozenset({"create-stream", "delete-stream", "reconfigure-stream"}),
    },
    "stream": {
        "read": frozenset({"check-tail", "read", "stream-metrics"}),
        "write": frozenset({"append", "trim", "fence"}),
    },
}
"""Operations by the level of their resource; every operation is in one group."""


@dataclass(frozen=True, slots=True)
class Match:
    """A set of names: none, one, or all with a prefix."""

    exact: str | None = None
    prefix: str | None = None

    def __call__(self, name: str) -> bool:
        if self.prefix is not None:
            return name.startswith(self.prefix)
        return bool(self.exact) and name == self.exact

    def covers(self, other: Match) -> bool:
        """Return whether every name of the other set is in this one."""
        if self.prefix is not None:
            name = other.prefix if other.prefix is not None else other.exact
            return (not name and other.prefix is None) or bool(name is not None and name.startswith(self.prefix))
        if other.prefix is not None:
            return False
        return not other.exact or other.exact == self.exact

    def below(self, prefix: str) -> Match:
        """Return the same set where every name has something before it."""
        if self.prefix is not None:
            return Match(prefix=prefix + self.prefix)
        return Match(exact=prefix + self.exact) if self.exact else self


ALL = Match(prefix="")
NONE = Match()


@dataclass(frozen=True, slots=True)
class Principal:
    """The sender of a request, by its token."""

    operations: frozenset[str] = OPERATIONS
    basins: Match = ALL
    streams: Match = ALL
    tokens: Match = ALL
    prefix: str = ""
    """Added to the names of streams in requests, and removed from those in answers."""
    expires: int | None = None
    """In milliseconds since 1970."""

    def permit(
        self, operation: str, *, basin: str | None = None, stream: str | None = None, token: str | None = None
    ) -> None:
        """Refuse what the token does not allow. A stream's name is the full one."""
        if operation not in self.operations:
            raise refusal("permission_denied", f"the access token does not allow {operation}")
        for what, name, match in (
            ("basin", basin, self.basins),
            ("stream", stream, self.streams),
            ("access token", token, self.tokens),
        ):
            if name is not None and not match(name):
                raise refusal("permission_denied", f"the access token does not reach the {what} `{name}`")

    def covers(self, other: Principal) -> bool:
        """Return whether the other may do nothing that this one may not."""
        return (
            other.operations <= self.operations
            and self.basins.covers(other.basins)
            and self.streams.covers(other.streams)
            and self.tokens.covers(other.tokens)
            and (self.expires is None or (other.expires is not None and other.expires <= self.expires))
        )


ROOT = Principal()


def principal_of(scope: Any, auto_prefix: bool, expires: int | None) -> Principal:
    """Return what a scope allows, checked."""
    fields = json_object(scope, "scope")
    operations = set[str]()
    groups = fields.get("op_groups")
    if groups is not None:
        groups = json_object(groups, "op_groups")
        for level, kinds in GROUPS.items():
            allowed = groups.get(level)
            if allowed is None:
                continue
            allowed = json_object(allowed, f"op_groups.{level}")
            for kind, names in kinds.items():
                if allowed.get(kind) is not None and flag(allowed[kind], f"op_groups.{level}.{kind}"):
                    operations |= names
    if fields.get("ops") is not None:
        for operation in json_list(fields["ops"], "ops"):
            if operation not in OPERATIONS:
                raise WireError(f"unknown operation {str(operation)[:60]!r}")
            operations.add(operation)
    if not operations:
        raise refusal("invalid", "Access token permissions cannot be empty")
    streams = _match(fields.get("streams"), "streams")
    if auto_prefix and not streams.prefix:
        raise refusal("invalid", "Auto prefixing is only allowed for streams with prefix matching")
    return Principal(
        frozenset(operations),
        _match(fields.get("basins"), "basins"),
        streams,
        _match(fields.get("access_tokens"), "access_tokens"),
        streams.prefix or "" if auto_prefix else "",
        expires,
    )


_FAULTS = {
    "basins": (basin_fault, basin_prefix_fault),
    "streams": (stream_fault, lambda prefix: prefix_fault(prefix, "stream prefix", MAX_STREAM_NAME)),
    "access_tokens": (token_fault, lambda prefix: prefix_fault(prefix, "access token id prefix", MAX_TOKEN_ID)),
}


def _match(value: Any, what: str) -> Match:
    if value is None:
        return NONE
    fields = json_object(value, what)
    if len(fields) != 1 or next(iter(fields)) not in ("exact", "prefix"):
        raise WireError(f'{what} must be {{"exact": name}} or {{"prefix": name}}')
    kind, name = next(iter(fields.items()))
    text(name, f"{what}.{kind}")
    whole, beginning = _FAULTS[what]
    fault = beginning(name) if kind == "prefix" else whole(name) if name else None
    if fault:
        raise WireError(fault)
    return Match(prefix=name) if kind == "prefix" else Match(exact=name)
