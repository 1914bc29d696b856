"""The kernel's side of a display: what a view needs of IPython and ipykernel, and does without elsewhere."""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def shell() -> Any:
    """The IPython shell, None where there is none."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def kernel() -> Any:
    """The kernel, None in a terminal or a script."""
    return getattr(shell(), "kernel", None)


def in_voila() -> bool:
    """Whether a page shows the notebook that takes no outputs any more once the cells have run."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila")


def elsewhere() -> str:
    """Say, where there is no kernel of Jupyter's, what works here; found out by looking, without trying."""
    if sys.platform == "emscripten":
        return "In Pyodide there are no threads: read in cells of their own, handle.tail(20)."
    if "marimo" in sys.modules:
        return "In marimo a view stands still: show view.df in a cell that is run again (mo.ui.refresh)."
    return "Outside a notebook a view stands still: view.watch() shows it in the foreground, view.df has its rows."


def detached(function: Callable[[], T]) -> T:
    """Calls a function as if no cell had asked for it.

    A kernel with subshells sends what a front end says to a widget to where the widget was last used from. For one
    that a cell has made that is the main shell, where it would wait for cells; made detached, it goes where the front
    end sent it.
    """

    def run() -> T:
        parent = getattr(kernel(), "_shell_parent", None)
        if isinstance(parent, contextvars.ContextVar):
            parent.set({})
        return function()

    return contextvars.copy_context().run(run)


def cell() -> tuple[str, int] | None:
    """Which cell is running, and its how-manieth run this is; None where the front end does not tell."""
    here = kernel()
    if here is None:
        return None
    try:
        parent = here.get_parent("shell")
    except (LookupError, TypeError, AttributeError):
        return None
    identity = (parent.get("metadata") or {}).get("cellId")
    return (identity, shell().execution_count) if isinstance(identity, str) else None


def publish(
    data: Mapping[str, Any], display_id: str, *, update: bool, metadata: Mapping[str, Any] | None = None
) -> None:
    """Shows something under a name, or replaces what was shown under it; from any thread."""
    here = shell()
    if here is not None:
        told = {"display_id": display_id}
        here.display_pub.publish(data=dict(data), metadata=dict(metadata or {}), transient=told, update=update)


def leave(name: str, value: Any) -> str:
    """Puts a value into the notebook's variables, under this name or one like it; gives the name."""
    here = shell()
    if here is None:
        raise RuntimeError("there is no notebook to leave a variable in")
    here.user_ns[name] = value
    return name
