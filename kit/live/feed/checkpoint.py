"""Checkpoints: the position of a feed as a small dict or a file, from which a later feed continues."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ...core.errors import InputError
from ...core.files import draft
from .source import Position
from .state import FeedState

FORM = "kit.feed/1"
_LONGEST = 512 * 1024 * 1024
WITHIN = 60.0
"""Seconds within which folds must reach the position of a checkpoint."""


def made(state: FeedState) -> dict[str, Any]:
    """Return the checkpoint of a feed and of its folds, all at the same position between two rows."""
    with state.changed:
        checkpoint = {"form": FORM, "source": state.source.key, "position": state.position, "total": state.total}
        answers = {reader.key: reader.mark() for reader in state.taps}
    states = {key: answer.wait(WITHIN) for key, answer in answers.items()}
    folds = {key: blob for key, blob in states.items() if blob is not None}
    return {**checkpoint, "folds": folds} if folds else checkpoint


def write(checkpoint: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a checkpoint as JSON; the file is either complete or not there."""
    with draft(Path(path)) as unfinished:
        unfinished.write_text(json.dumps(checkpoint))


def read(checkpoint: Any, key: str) -> tuple[Position, dict[str, str]]:
    """Return the position and the state of each fold from a checkpoint, which must be of the same source."""
    if isinstance(checkpoint, str | os.PathLike):
        place = Path(checkpoint)
        try:
            # The size is checked first: read_bytes() allocates memory for the whole file.
            larger = place.stat().st_size > _LONGEST
            checkpoint = None if larger else json.loads(place.read_bytes())
        except OSError as error:
            raise InputError(f"checkpoint {place}: {error.strerror}", hint="feed.checkpoint(path) writes one") from None
        except (ValueError, RecursionError):
            raise InputError(f"checkpoint {place} is no JSON", hint="feed.checkpoint(path) writes one") from None
        if larger:
            raise InputError(f"checkpoint {place} is larger than any that is written")
    if not isinstance(checkpoint, dict) or checkpoint.get("form") != FORM:
        raise InputError("from_checkpoint= is not a checkpoint", hint="give what feed.checkpoint() gave, or its file")
    if checkpoint.get("source") != key:
        raise InputError(f"the checkpoint is of {checkpoint.get('source')!r}, not of {key!r}")
    position, folds = checkpoint.get("position"), checkpoint.get("folds", {})
    if isinstance(position, bool) or not isinstance(position, int | str | None):
        raise InputError(f"the checkpoint's position is {position!r}")
    if not isinstance(folds, dict):
        raise InputError("the checkpoint's folds are none", hint="give what feed.checkpoint() gave, or its file")
    return position, folds
