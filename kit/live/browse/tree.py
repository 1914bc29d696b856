"""The tree of what a service has, which is requested branch by branch. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ...core.log.looking import Looking
    from ..view import LiveView

MOST = 300
"""The largest number of children that are listed; a filter finds the others."""


@dataclass(slots=True)
class Node:
    """One thing of a service: its name, the code that reaches it, and what can be done with it."""

    name: str
    kind: str
    code: str
    """The expression that returns it."""
    children: Callable[[], list[Node]] | None = None
    details: Callable[[], Mapping[str, Any]] | None = None
    read: Callable[[int], pd.DataFrame] | None = None
    live: Callable[[], LiveView] | None = None
    log: Callable[[], Looking] | None = None
    """The log, if it is one: for Find and Profile."""


@dataclass(slots=True)
class Branch:
    """A node in the tree as it is shown."""

    node: Node
    depth: int
    path: tuple[str, ...]
    open: bool = False
    branches: list[Branch] | None = None
    """The branches below, after they were requested."""
    trouble: str = ""


@dataclass(slots=True)
class Tree:
    """All branches, and which of them are open."""

    root: Node
    top: Branch = field(init=False)
    _prefix: str = ""
    _name: str = ""

    def __post_init__(self) -> None:
        self.top = Branch(self.root, 0, (self.root.name,))

    def called(self, name: str) -> None:
        """Set the expression of the root in the user's code; the expressions of all nodes begin with it."""
        self._prefix, self._name = self.root.code, name
        self.root.code = self._named(self.root.code)

    def _named(self, code: str) -> str:
        rest = code.removeprefix(self._prefix)
        return self._name + rest if self._name and rest != code and not rest[:1].isidentifier() else code

    def unfold(self, branch: Branch, *, again: bool = False) -> None:
        """Open a branch. Ask the service the first time, or `again`. An error is kept and shown, not raised."""
        if branch.node.children is None:
            return
        if branch.branches is None or again:
            known = {old.path: old for old in branch.branches or ()}
            branch.trouble = ""
            try:
                nodes = branch.node.children()
            except Exception as error:
                branch.trouble = f"{type(error).__name__}: {error}"
                nodes = []
            branch.branches = []
            for node in nodes:
                node.code = self._named(node.code)
                path = (*branch.path, node.kind, node.name)
                child = known.get(path) or Branch(node, branch.depth + 1, path)
                child.node = node
                branch.branches.append(child)
        branch.open = True

    def fold(self, branch: Branch) -> None:
        """Close a branch, and keep the branches below."""
        branch.open = False

    def shown(self, needle: str = "") -> list[Branch]:
        """Return the open branches whose name, or a name below, contains the needle."""
        return list(_shown(self.top, needle.lower()))


def _shown(branch: Branch, needle: str) -> Iterator[Branch]:
    yield branch
    if not branch.open:
        return
    hits = [child for child in branch.branches or () if not needle or _holds(child, needle)]
    for child in hits[:MOST]:
        yield from _shown(child, needle)


def _holds(branch: Branch, needle: str) -> bool:
    return needle in branch.node.name.lower() or any(_holds(child, needle) for child in branch.branches or ())


def hidden(branch: Branch, needle: str = "") -> int:
    """Return how many children of an open branch are not listed."""
    hits = [child for child in branch.branches or () if not needle or _holds(child, needle.lower())]
    return max(0, len(hits) - MOST) if branch.open else 0
