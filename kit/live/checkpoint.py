"""Where a feed stands, as a small dict or a file, for a feed of another day to go on from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import draft
from .source import Position
from .state import FeedState

FORM = "kit.feed/1"
_LONGEST = 512 * 1024 * 1024
WITHIN = 60.0
"""Seconds in which folds have to come to the place of a checkpoint."""


def made(state: FeedState) -> dict[str, Any]:
    """Return the checkpoint of a feed, and of what is folded from its rows, all at one place between two rows."""
    with state.changed:
        found = {"form": FORM, "source": state.source.key, "position": state.position, "total": state.total}
        asked = {reader.key: reader.mark() for reader in state.taps}
    told = {key: answer.wait(WITHIN) for key, answer in asked.items()}
    folds = {key: blob for key, blob in told.items() if blob is not None}
    return {**found, "folds": folds} if folds else found


def write(checkpoint: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write it as JSON, whole or not at all."""
    with draft(Path(path)) as unfinished:
        unfinished.write_text(json.dumps(checkpoint))


def told_in(given: Any, key: str) -> tuple[Position, dict[str, str]]:
    """Return the position that a checkpoint tells, and the state of each fold; it must be of the same source."""
    if isinstance(given, str | os.PathLike):
        place = Path(given)
        try:
            # Its size is looked at first: to ask for that many bytes is to have room for them all.
            larger = place.stat().st_size > _LONGEST
            given = None if larger else json.loads(place.read_bytes())
        except OSError as error:
            raise InputError(f"checkpoint {place}: {error.strerror}", hint="feed.checkpoint(path) writes one") from None
        except (ValueError, RecursionError):
            raise InputError(f"checkpoint {place} is no JSON", hint="feed.checkpoint(path) writes one") from None
        if larger:
            raise InputError(f"checkpoint {place} is larger than any that is written")
    if not isinstance(given, dict) or given.get("form") != FORM:
        raise InputError("from_checkpoint= is no checkpoint", hint="give what feed.checkpoint() gave, or its file")
    if given.get("source") != key:
        raise InputError(f"the checkpoint is of {given.get('source')!r}, not of {key!r}")
    position, folds = given.get("position"), given.get("folds", {})
    if isinstance(position, bool) or not isinstance(position, int | str | None):
        raise InputError(f"the checkpoint's position is {position!r}")
    if not isinstance(folds, dict):
        raise InputError("the checkpoint's folds are none", hint="give what feed.checkpoint() gave, or its file")
    return position, folds
