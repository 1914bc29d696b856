"""Where a feed stands, as a small dict or a file, for a feed of another day to go on from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from .source import Position

FORM = "kit.feed/1"
_LONGEST = 64 * 1024


def made(key: str, position: Position, total: int) -> dict[str, Any]:
    """The checkpoint of a feed."""
    return {"form": FORM, "source": key, "position": position, "total": total}


def write(checkpoint: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes it as JSON, whole or not at all."""
    place = Path(path)
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    draft.write_text(json.dumps(checkpoint))
    os.replace(draft, place)


def position_in(given: Any, key: str) -> tuple[Position, int]:
    """The position that a checkpoint tells, and how many rows had come; it must be of the same source."""
    if isinstance(given, str | os.PathLike):
        place = Path(given)
        try:
            with place.open("rb") as file:
                given = json.loads(file.read(_LONGEST))
        except OSError as error:
            raise InputError(f"checkpoint {place}: {error.strerror}", hint="feed.checkpoint(path) writes one") from None
        except (ValueError, RecursionError):
            raise InputError(f"checkpoint {place} is no JSON", hint="feed.checkpoint(path) writes one") from None
    if not isinstance(given, dict) or given.get("form") != FORM:
        raise InputError("from_checkpoint= is no checkpoint", hint="give what feed.checkpoint() gave, or its file")
    if given.get("source") != key:
        raise InputError(f"the checkpoint is of {given.get('source')!r}, not of {key!r}")
    position, total = given.get("position"), given.get("total")
    if isinstance(position, bool) or not isinstance(position, int | str | None):
        raise InputError(f"the checkpoint's position is {position!r}")
    return position, total if isinstance(total, int) and total >= 0 else 0
