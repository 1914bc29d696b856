"""What a view needs from IPython and ipykernel; elsewhere a view works without it."""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")


def shell() -> Any:
    """Return the IPython shell, or None."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def kernel() -> Any:
    """Return the kernel, or None in a terminal or a script."""
    return getattr(shell(), "kernel", None)


def in_voila() -> bool:
    """Return whether Voila shows the notebook: it takes no outputs after the cells have run."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila")


def elsewhere() -> str:
    """Return what works of a view in this environment, or an empty text where everything does."""
    if sys.platform == "emscripten":
        return "In Pyodide a view stands still, as there are no threads: view.df has the rows that came."
    if "google.colab" in sys.modules and kernel() is not None:
        return "In Colab the buttons answer while no cell runs; view.pause(), view.df and view.close() do at any time."
    if kernel() is not None:
        return ""
    if "marimo" in sys.modules:
        return "In marimo a view stands still: show view.df in a cell that is run again (mo.ui.refresh)."
    return "Outside a notebook a view stands still: view.watch() shows it in the foreground, view.df has its rows."


def detached(function: Callable[[], T]) -> T:
    """Call a function outside of the context of the running cell.

    A kernel with subshells passes messages for a widget to the shell that last used the widget. If a cell made the
    widget, that is the main shell, where messages wait until the cell ends. The messages of a widget that is made here
    go to the shell that the front end chose.
    """

    def run() -> T:
        parent = getattr(kernel(), "_shell_parent", None)
        if isinstance(parent, contextvars.ContextVar):
            parent.set({})
        return function()

    return contextvars.copy_context().run(run)


def cell() -> tuple[str, int] | None:
    """Return the id of the running cell and its execution count; None where the front end does not send an id."""
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
    """Show data under a display id, or replace what was shown under it; from any thread."""
    here = shell()
    if here is not None:
        transient = {"display_id": display_id}
        here.display_pub.publish(data=dict(data), metadata=dict(metadata or {}), transient=transient, update=update)


def name_of(thing: Any) -> str | None:
    """Return the expression by which the user reaches an object: a variable or a part of a lab; else None."""
    here = shell()
    variables = {} if here is None or thing is None else dict(here.user_ns)
    named = {name: value for name, value in variables.items() if not name.startswith("_")}
    for name, value in named.items():
        if value is thing:
            return str(name)
    service = getattr(thing, "service", None)
    for name, value in named.items():
        # Only explorers that exist already are compared: looking for a name must not make a lab connect.
        parts = getattr(value, "explorers", None) if type(value).__module__.startswith("kit.") else None
        if isinstance(parts, dict) and parts.get(service) is thing:
            return f"{name}.{service}"
    return None


def leave(name: str, value: Any) -> str:
    """Put a value into a variable of the notebook; return its name."""
    here = shell()
    if here is None:
        raise RuntimeError("there is no notebook to leave a variable in")
    here.user_ns[name] = value
    return name


class Variables:
    """The variables that buttons make in the notebook: the same name each time, and never one of the user's own."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def leave(self, what: str, stem: str, value: Any) -> str:
        """Put a value into the variable for `what`, whose name begins with `stem`; return the name."""
        here = shell()
        if what not in self._names and here is not None:
            numbered = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
            self._names[what] = next(name for name in numbered if name not in here.user_ns)
        return leave(self._names.get(what, stem), value)


KEYS = "kit-keys"
"""The CSS class of boxes that handle keys themselves, and whose events a page reports."""


# For a page that is loaded after the kernel was restarted: the output of a widget is empty, and would show an error.
_NO_WIDGET = (
    "<style>.jp-OutputArea-child:has(.kit-page-listens)+.jp-OutputArea-child"
    ":has(>.jp-OutputArea-output:not([data-mime-type])):not(:has(>.jp-OutputArea-output>*)){display:none}</style>"
)


def page_listens() -> None:
    """Add the script to the page that shows the running cell: it reports events of our widgets and leaves keys to them.
    Call it before a widget is shown. Where there is no kernel, it does nothing."""
    here = shell()
    if here is not None and kernel() is not None:
        script = files("kit.live.view").joinpath("page_events.js").read_text("utf-8")
        lines = [line.strip() for line in script.splitlines()]
        code = "\n".join(line for line in lines if line and not line.startswith("//"))
        html = f'{_NO_WIDGET}<span class="kit-page-listens"></span><script>{code}</script>'
        here.display_pub.publish(data={"text/html": html, "text/plain": ""}, metadata={})
