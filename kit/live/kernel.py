"""The kernel's side of a display: what a view needs of IPython and ipykernel, and does without elsewhere."""

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
    """Return the IPython shell, None where there is none."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def kernel() -> Any:
    """Return the kernel, None in a terminal or a script."""
    return getattr(shell(), "kernel", None)


def in_voila() -> bool:
    """Return whether a page shows the notebook that takes no outputs any more once the cells have run."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("voila")


def elsewhere() -> str:
    """Say what works here of a view, where not all of it does; found out by looking, without trying."""
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
    """Call a function as if no cell had asked for it.

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
    """Return which cell is running, and its how-manieth run this is; None where the front end does not tell."""
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
    """Show something under a name, or replaces what was shown under it; from any thread."""
    here = shell()
    if here is not None:
        told = {"display_id": display_id}
        here.display_pub.publish(data=dict(data), metadata=dict(metadata or {}), transient=told, update=update)


def name_of(thing: Any) -> str | None:
    """Return how the user's variables have a thing: by a name of its own, or as the part of a lab; None where not."""
    here = shell()
    variables = {} if here is None or thing is None else dict(here.user_ns)
    named = {name: value for name, value in variables.items() if not name.startswith("_")}
    for name, value in named.items():
        if value is thing:
            return str(name)
    service = getattr(thing, "service", None)
    for name, value in named.items():
        # Asked only of what has made its parts already: a lab does not connect for being asked what it is called.
        parts = getattr(value, "explorers", None) if type(value).__module__.startswith("kit.") else None
        if isinstance(parts, dict) and parts.get(service) is thing:
            return f"{name}.{service}"
    return None


def leave(name: str, value: Any) -> str:
    """Put a value into the notebook's variables, under this name or one like it; gives the name."""
    here = shell()
    if here is None:
        raise RuntimeError("there is no notebook to leave a variable in")
    here.user_ns[name] = value
    return name


class Variables:
    """What buttons leave in the notebook: under the same name each time, and none that the user has for something."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def leave(self, what: str, stem: str, value: Any) -> str:
        """Put a value into the variable of this thing, called like the stem; return its name."""
        here = shell()
        if what not in self._names and here is not None:
            numbered = (stem if n == 1 else f"{stem}_{n}" for n in count(1))
            self._names[what] = next(name for name in numbered if name not in here.user_ns)
        return leave(self._names.get(what, stem), value)


KEYS = "kit-keys"
"""The class of what has keys of its own, and of what a page tells us about."""


# Of a page that is loaded when the kernel has begun anew: a widget's output has no widget in it, and would say so.
_NO_WIDGET = (
    "<style>.jp-OutputArea-child:has(.kit-page-listens)+.jp-OutputArea-child"
    ":has(>.jp-OutputArea-output:not([data-mime-type])):not(:has(>.jp-OutputArea-output>*)){display:none}</style>"
)


def page_listens() -> None:
    """See that the page that shows the running cell tells what happens to our widgets, and leaves keys to them. To be
    called before a widget is shown: where it cannot be any more, nothing is left of it."""
    here = shell()
    if here is not None and kernel() is not None:
        script = files("kit.live.view").joinpath("page_events.js").read_text("utf-8")
        lines = [line.strip() for line in script.splitlines()]
        code = "\n".join(line for line in lines if line and not line.startswith("//"))
        html = f'{_NO_WIDGET}<span class="kit-page-listens"></span><script>{code}</script>'
        here.display_pub.publish(data={"text/html": html, "text/plain": ""}, metadata={})
