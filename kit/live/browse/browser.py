"""`explorer.browse()`: a tree of what a service has, and for the chosen node its details, rows and live view."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from ...core.html import one_line, table, text, visible
from .. import ipython
from ..view.lookup import PROFILED, READ, find, frame_html
from .tree import Branch, Node, Tree, hidden

if TYPE_CHECKING:
    pass

_STYLE = (
    "<style>.kit-browse code{font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);background:rgba(128,128,128,.2);padding:1px 5px;border-radius:3px}"
    ".kit-browse .quiet{opacity:.78}.kit-browse .bad{border-left:3px solid #d32f2f;padding-left:8px}"
    ".kit-browse-tree>label{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    ".kit-browse td,.kit-browse th{white-space:nowrap}.kit-browse{overflow:auto;line-height:1.4}</style>"
)


class Browser:
    """A tree to click through. Show it as the last line of a cell. Without widgets it prints its first level."""

    def __init__(self, root: Node, owner: Any = None) -> None:
        self._tree = Tree(root)
        if (name := ipython.name_of(owner)) is not None:
            self._tree.called(name)
        self._display = uuid.uuid4().hex
        self._chosen = self._tree.top
        self._panel: Any = None
        self._view: Any = None
        self._turn = 0
        self._left = ipython.Variables()
        self._lock = threading.RLock()
        self._closed = self._shown = False

    def __repr__(self) -> str:
        self._tree.unfold(self._tree.top)
        names = [f"  {branch.node.kind} {one_line(branch.node.name)}" for branch in self._tree.shown()[1:]]
        return "\n".join([visible(f"<Browser of {self._tree.root.code}>"), *names[:50]])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        self._tree.unfold(self._tree.top)
        rows = [(branch.node.kind, branch.node.name, branch.node.code) for branch in self._tree.shown()[1:]]
        return {
            "text/plain": repr(self),
            "text/html": text(self._tree.root.name) + table(("", "name", "in code"), rows),
        }

    def _ipython_display_(self) -> None:
        if ipython.kernel() is None:
            print(repr(self))
            return
        if self._panel is None:
            from .panel import Panel

            self._panel = ipython.detached(lambda: Panel(self))
            self._do(lambda turn: self._show(turn, self._tree.top))
        view = {"model_id": self._panel.box.model_id, "version_major": 2, "version_minor": 0}
        # Text and table are for viewers without a kernel.
        data = {**self._repr_mimebundle_(), "application/vnd.jupyter.widget-view+json": view}
        ipython.publish(data, self._display, update=False)
        ipython.page_listens()
        self._shown = True

    def close(self) -> None:
        """Close the live view, if one is shown, and free the widgets. May be called twice."""
        with self._lock:
            self._closed = True
            panel, self._panel = self._panel, None
        self._end_view()
        if panel is not None:
            if self._shown:
                ipython.publish(self._repr_mimebundle_(), self._display, update=True)
            ipython.detached(panel.close)

    # --- what the panel's controls do -------------------------------------------------------------------------------

    def _choose(self, path: tuple[str, ...]) -> None:
        branch = next((shown for shown in self._tree.shown(self._needle()) if shown.path == path), None)
        if branch is None or branch is self._chosen:
            return
        self._chosen = branch
        self._do(lambda turn: self._show(turn, branch))

    def _press_fold(self) -> None:
        branch = self._chosen
        if branch.open:
            self._tree.fold(branch)
            self._paint_tree()
        else:
            self._do(lambda turn: self._show(turn, branch))

    def _press_refresh(self) -> None:
        branch = self._chosen
        self._do(lambda turn: self._show(turn, branch, again=True))

    def _press_read(self) -> None:
        branch = self._chosen
        self._do(lambda turn: self._read(turn, branch))

    def _press_live(self) -> None:
        branch = self._chosen
        self._do(lambda turn: self._live(turn, branch))

    def _press_find(self) -> None:
        branch, words = self._chosen, "" if self._panel is None else self._panel.question
        self._do(lambda turn: self._find(turn, branch, words))

    def _press_profile(self) -> None:
        branch = self._chosen
        self._do(lambda turn: self._profile(turn, branch))

    def _press_filter(self) -> None:
        self._paint_tree()

    # --- in a thread, so that neither the kernel nor the page waits -------------------------------------------------

    def _do(self, deed: Callable[[int], None]) -> None:
        """Run an action in a thread, with a number: an action shows nothing after a later one has begun."""
        with self._lock:
            self._turn += 1
            turn = self._turn
        panel = self._panel
        if panel is not None:
            panel.busy(True)

        def run() -> None:
            try:
                deed(turn)
            except Exception as error:
                self._put(turn, _failed(f"{type(error).__name__}: {error}"))
            finally:
                if turn == self._turn and self._panel is not None:
                    self._panel.busy(False)

        threading.Thread(target=ipython.detached, args=(run,), name="kit-browse", daemon=True).start()

    def _show(self, turn: int, branch: Branch, *, again: bool = False) -> None:
        self._tree.unfold(branch, again=again)
        self._paint_tree()
        about = self._about(branch)
        self._end_view(turn)
        self._put(turn, about)

    def _about(self, branch: Branch) -> str:
        node = branch.node
        parts = [text(f"{node.kind} {node.name}"), f"<div><code>{_safe(node.code)}</code></div>"]
        if branch.trouble:
            parts.append(_failed(branch.trouble))
        elif branch.branches is not None:
            more = hidden(branch, self._needle())
            parts.append(
                text(f"{len(branch.branches):,} in it" + (f", {more:,} not listed: use the filter" if more else ""))
            )
        if node.details is not None:
            details: Mapping[str, Any] = node.details()
            parts.append(table(("", ""), [(name, value) for name, value in details.items() if value is not None]))
        return "".join(parts)

    def _read(self, turn: int, branch: Branch) -> None:
        node = branch.node
        if node.read is None:
            return
        started = time.perf_counter()
        frame = node.read(READ)
        took = (time.perf_counter() - started) * 1000
        name = self._left.leave(node.code, variable_of(node.name), frame)
        self._end_view(turn)
        head = f"{len(frame):,} rows in {took:,.0f} ms, in the variable "
        self._put(turn, f"<div>{head}<code>{_safe(name)}</code></div>{frame_html(frame)}")

    def _find(self, turn: int, branch: Branch, words: str) -> None:
        node = branch.node
        if node.log is None:
            return
        if not words:
            self._put(turn, _failed("Write beside the button what to look for."))
            return
        frame, code = find(node.log(), words)
        name = self._left.leave(f"{node.code}.find", variable_of(node.name, "found"), frame)
        self._end_view(turn)
        head = f"<div><code>{_safe(name)} = {_safe(f'{node.code}{code}')}</code></div>"
        self._put(turn, f"{head}{text(frame.kit.scan)}{frame_html(frame)}")

    def _profile(self, turn: int, branch: Branch) -> None:
        node = branch.node
        if node.log is None:
            return
        profile = node.log().profile(sample=PROFILED)
        name = self._left.leave(f"{node.code}.profile", variable_of(node.name, "profile"), profile)
        self._end_view(turn)
        self._put(turn, f"<div>in the variable <code>{_safe(name)}</code></div>{profile._repr_html_()}")

    def _live(self, turn: int, branch: Branch) -> None:
        node = branch.node
        if node.live is None:
            return
        self._end_view(turn)
        view = node.live()
        with self._lock:
            panel = self._panel
            if turn == self._turn and panel is not None:
                self._view = view
                view.after_stop = panel.tree.focus
                panel.put(_styled(f"<code>{_safe(node.code)}.live()</code>"), view.widget)
                return
        view.close()

    def _put(self, turn: int, html: str) -> None:
        with self._lock:
            if turn == self._turn and self._panel is not None:
                self._panel.put(_styled(html))

    def _paint_tree(self) -> None:
        panel = self._panel
        if panel is not None:
            panel.paint(self._tree.shown(self._needle()), self._chosen)

    def _needle(self) -> str:
        return "" if self._panel is None else str(self._panel.needle)

    def _end_view(self, turn: int | None = None) -> None:
        with self._lock:
            if turn is not None and turn != self._turn:
                return
            view, self._view = self._view, None
            if view is not None and self._panel is not None:
                self._panel.put("")
        if view is not None:
            view.close()


def _styled(html: str) -> str:
    return f'{_STYLE}<div class="kit-browse">{html}</div>'


def _safe(code: str) -> str:
    return escape(visible(code))


def _failed(words: str) -> str:
    return f'<div class="bad">{escape(visible(words[:500]))}</div>'


def variable_of(name: str, what: str = "rows") -> str:
    """Return the name of a variable, made from the name of a node.

    >>> variable_of("sensors/boiler-1"), variable_of("1st")
    ('sensors_boiler_1_rows', '_1st_rows')
    """
    made = re.sub(r"\W+", "_", name).strip("_").lower()[:60] or "some"
    return f"_{made}_{what}" if made[0].isdigit() else f"{made}_{what}"
