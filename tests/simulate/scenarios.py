"""All scenarios, by name."""

from __future__ import annotations

from . import s2
from .running import Scenario

_ALL: tuple[type[Scenario], ...] = (s2.Unary, s2.Sessions, s2.Feeds)
SCENARIOS = {kind.name: kind for kind in _ALL}
