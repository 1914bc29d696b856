"""Explore data services from Jupyter: DataFrames, live views and plots.

    import kit

    lab = kit.Lab()                      # embedded servers with demo data
    lab.amdahl.query("select channel, count(*) as n from interactions group by 1")

Names load on first use: `import kit` itself costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import amdahl, core, s2
    from .core.calls import calls
    from .core.errors import KitError
    from .core.progress import show as progress
    from .front import connect
    from .lab.lab import Lab

_WHERE = {
    "Lab": "kit.lab.lab:Lab",
    "connect": "kit.front:connect",
    "calls": "kit.core.calls:calls",
    "progress": "kit.core.progress:show",
    "KitError": "kit.core.errors:KitError",
    "amdahl": "kit.amdahl",
    "core": "kit.core",
    "s2": "kit.s2",
}

__all__ = ["KitError", "Lab", "__version__", "amdahl", "calls", "connect", "core", "progress", "s2"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        import difflib

        near = difflib.get_close_matches(name, _WHERE, n=1)
        raise AttributeError(f"kit has no {name!r}" + (f"; did you mean kit.{near[0]}?" if near else ""))
    import importlib

    module, _, attribute = _WHERE[name].partition(":")
    loaded = importlib.import_module(module)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
