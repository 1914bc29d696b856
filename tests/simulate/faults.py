"""What can go wrong in a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    With piece number `at` of all that is sent: cut, end, swallow, stall, twice (after `size` bytes of it).
    With connection number `at`: refuse, hang, drop.
    At a time, `at` milliseconds after the start: jump (the time of day), freeze (all that runs here), outage (nobody is
    there for `seconds`, and all connections break).
    With call number `at`, after `seconds`: cancel (interrupted, where it blocks).
    With request number `at` on the server: a status, as "503".
    """

    kind: str
    at: int
    size: int = 0
    seconds: float = 0.0


PIECES = ("cut", "end", "swallow", "stall", "twice")
CONNECTIONS = ("refuse", "hang", "drop")
MOMENTS = ("jump", "freeze", "outage")
CALLS = ("cancel",)
