"""All scenarios, by name."""

from __future__ import annotations

from . import amdahl, claude, histories, kimberlite, live, s2, s2_limits, synap
from .running import Scenario

_ALL: tuple[type[Scenario], ...] = (
    s2.Unary,
    s2.Sessions,
    s2.Feeds,
    s2.Blocking,
    s2_limits.Limits,
    live.Folds,
    kimberlite.Unary,
    kimberlite.Follow,
    kimberlite.Feeds,
    kimberlite.Blocking,
    synap.Queues,
    synap.Rooms,
    synap.Topics,
    synap.Keys,
    claude.Paid,
    claude.Frames,
    amdahl.Pages,
    amdahl.Agents,
    histories.S2History,
    histories.KimberliteHistory,
    histories.SynapHistory,
)
SCENARIOS = {kind.name: kind for kind in _ALL}


def services(names: list[str]) -> list[str]:
    """Return the services of some scenarios, each once."""
    return list(dict.fromkeys(SCENARIOS[name].service for name in names))
