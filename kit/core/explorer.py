"""What the explorers of all five services have: a client to close, a tree to browse, and a repr."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, Self, TypeVar

from . import calls
from .html import table, text
from .log.declared import Declares
from .processes import OfOneProcess
from .tables.into import GivesFrames

if TYPE_CHECKING:
    import pandas as pd

    from ..live.browse.browser import Browser


class _Closes(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closes)


class Explorer(Declares, GivesFrames, OfOneProcess, Generic[C]):
    """A service to explore: use it in a `with` block, or `close()` it. `client` is the plain client."""

    service: ClassVar[str]
    """Its name in `kit.calls()`."""
    title: ClassVar[str]
    tree: ClassVar[str]
    """The module whose `root(explorer)` is the tree to browse."""
    shown: ClassVar[str]
    """The verbs that its repr lists."""
    tries: ClassVar[tuple[tuple[str, str], ...]]
    """Verbs and what they give, for the table of what to try."""

    def __init__(self, client: C) -> None:
        self.client = client

    def _where(self) -> str:
        """Return the address."""
        raise NotImplementedError

    def browse(self) -> Browser:
        """Show a small tree of the service's contents, to click through: details, rows, live views."""
        from ..live.browse.browser import Browser

        # Imported by name, as the tree of a service itself imports the explorer.
        return Browser(import_module(self.tree).root(self), self)

    def calls(self) -> pd.DataFrame:
        """Return the requests that this process made to the service: those of `kit.calls()`."""
        frame = calls.calls()
        return frame[frame["service"] == self.service].reset_index(drop=True)

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.removesuffix('Explorer')} at {self._where()}: {self.shown}>"

    def _repr_html_(self) -> str:
        return text(f"{self.title} at {self._where()}") + table(("try", "to get"), self.tries)
