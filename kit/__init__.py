"""Explore data services from Jupyter: DataFrames, live views and plots.

    import kit

    lab = kit.Lab()                      # embedded servers with demo data
    lab.amdahl.query("select channel, count(*) as n from interactions group by 1")

Names load on first use: `import kit` itself costs next to nothing.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from . import amdahl, claude, core, kimberlite, plots, s2, synap
    from .core.calls import calls
    from .core.errors import KitError
    from .core.progress import show as progress
    from .core.tables.difference import diff
    from .engines.dasking.writing import from_frame
    from .engines.joining import sql
    from .engines.parquet.scanning import scan
    from .front import connect
    from .lab.lab import Lab
    from .live.feed.feed import Feed
    from .live.results.query import live_sql
    from .live.view import LiveView

if sys.version_info < (3, 11):  # noqa: UP036  a checkout may be tried with any
    _told = f"kit needs Python 3.11 or later, and this is {sys.version.split()[0]}: {sys.executable}"
    # A command shows only the sentence.
    raise SystemExit(_told) if sys.argv[:1] == ["-m"] else ImportError(_told)

_WHERE = {
    "Feed": "kit.live.feed.feed:Feed",
    "Lab": "kit.lab.lab:Lab",
    "LiveView": "kit.live.view:LiveView",
    "connect": "kit.front:connect",
    "diff": "kit.core.tables.difference:diff",
    "live_sql": "kit.live.results.query:live_sql",
    "calls": "kit.core.calls:calls",
    "progress": "kit.core.progress:show",
    "scan": "kit.engines.parquet.scanning:scan",
    "sql": "kit.engines.joining:sql",
    "KitError": "kit.core.errors:KitError",
    "amdahl": "kit.amdahl",
    "claude": "kit.claude",
    "core": "kit.core",
    "from_frame": "kit.engines.dasking.writing:from_frame",
    "kimberlite": "kit.kimberlite",
    "nest": "kit.notebook.nesting:nest",
    "plots": "kit.plots",
    "s2": "kit.s2",
    "synap": "kit.synap",
}

__all__ = [
    "Feed",
    "KitError",
    "Lab",
    "LiveView",
    "__version__",
    "amdahl",
    "calls",
    "claude",
    "connect",
    "core",
    "diff",
    "from_frame",
    "kimberlite",
    "live_sql",
    "nest",
    "plots",
    "progress",
    "s2",
    "scan",
    "sql",
    "synap",
]


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


def load_ipython_extension(shell: Any) -> None:
    """Load the extension for `%load_ext kit`: magics for SQL and prompts, and `asyncio.run(...)` inside cells."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Undo what `%load_ext kit` did, for `%unload_ext kit`."""
    from .notebook.magics import unload

    unload(shell)
