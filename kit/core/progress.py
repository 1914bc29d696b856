"""Progress bars, where somebody is looking."""

from __future__ import annotations

import os
import sys
from typing import Any

_shown: bool | None = None


def show(on: bool | None = True) -> None:
    """Turns progress bars on or off for this process; None goes back to "on in a notebook or a terminal"."""
    global _shown
    _shown = on


def wanted() -> bool:
    """Whether a bar would be drawn: the switch, then the environment (`KIT_PROGRESS=0`), then who is looking."""
    if _shown is not None:
        return _shown
    if os.environ.get("KIT_PROGRESS"):
        return os.environ["KIT_PROGRESS"] not in ("0", "no", "off", "false")
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and sys.stderr.isatty()


def bar(total: float | None = None, *, what: str = "", unit: str = "row", **options: Any) -> Any:
    """A tqdm bar: of a known total where the service tells it, silent when nobody looks.

    It appears only after half a second, so quick calls leave no trace in a notebook.
    """
    if not wanted():
        from tqdm import tqdm

        return tqdm(total=total, disable=True)
    from tqdm.auto import tqdm as best

    return best(
        total=total,
        desc=what or None,
        unit=unit,
        unit_scale=True,
        delay=0.5,
        leave=False,
        dynamic_ncols=True,
        **options,
    )
