"""An answer that shows itself while it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from ...core import loop
from ...live.ipython import detached, in_voila
from ..errors import ClaudeAPIError, TimeoutError
from ..types import SHOWN, Response, answer_html

REPAINT = 0.1
"""The shortest time between two repaints, in seconds."""


class LiveAnswer:
    """An answer that is arriving. A notebook shows its text as it arrives, while other cells run.

    `text` is what has arrived, `wait()` gives the whole `Response`, iterating gives the pieces, `close()` stops it.
    """

    def __init__(self, pieces: Callable[[], AsyncIterator[str | Response]], about: str = "") -> None:
        self._about = about
        self._pieces: list[str] = []
        self._response: Response | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._screen: _Output | _Page | None = None
        self._future = loop.start(self._follow, pieces)

    async def _follow(self, pieces: Callable[[], AsyncIterator[str | Response]]) -> None:
        painter = asyncio.ensure_future(self._paint())
        try:
            opened: Any = pieces()
            async with contextlib.aclosing(opened):
                async for piece in opened:
                    with self._changed:
                        if isinstance(piece, str):
                            self._pieces.append(piece)
                        else:
                            self._response = piece
                        self._changed.notify_all()
        except asyncio.CancelledError:
            self._error = ClaudeAPIError("the answer was closed before its end; it may have been paid for")
            raise
        except Exception as error:
            self._error = error
        finally:
            painter.cancel()
            # The last state is shown before `wait()` returns. Later displays show it by themselves.
            with self._changed:
                self._show()
                self._ended = True
                self._changed.notify_all()

    async def _paint(self) -> None:
        shown = 0
        while True:
            await asyncio.sleep(REPAINT)
            screen, count = self._screen, len(self._pieces)
            if screen is not None and count and count != shown:
                shown = count
                with contextlib.suppress(Exception):
                    screen.show(self._html())

    def _show(self) -> None:
        """Show the last state; the answer, which is paid for, does not depend on whether there is still a screen."""
        if self._screen is not None:
            with contextlib.suppress(Exception):
                self._screen.show(self._html(), self._plain())

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces)

    @property
    def done(self) -> bool:
        return self._ended

    def wait(self, timeout: float | None = None) -> Response:
        """Return the whole answer, once it is there; raises what went wrong."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._ended:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(f"the answer has not ended within {timeout:g} s; it continues", paid=None)
                # Short waits, so that an interrupt is noticed on every system.
                self._changed.wait(1.0 if left is None else min(left, 1.0))
        # Once more, from the waiting cell: programs that run notebooks see only the output of the running cell.
        self._show()
        if self._error is not None:
            raise self._error
        assert self._response is not None
        return self._response

    def close(self) -> None:
        """Stop the answer; the text so far stays visible. May be called twice."""
        if not self._ended:
            self._future.cancel()
            with self._changed:
                self._changed.wait_for(lambda: self._ended, 2)

    def __iter__(self) -> Iterator[str]:
        place = 0
        while True:
            with self._changed:
                while place >= len(self._pieces) and not self._ended:
                    self._changed.wait(1.0)
                fresh, place = self._pieces[place:], len(self._pieces)
                ended = self._ended
            yield from fresh
            if ended and place >= len(self._pieces):
                break
        if self._error is not None:
            raise self._error

    def _html(self) -> str:
        if self._response is not None:
            return self._response._repr_html_()
        if self._error is not None:
            return answer_html(self.text, "", str(self._error))
        return answer_html(self.text, f"{self._about} …")

    def _plain(self) -> str:
        from ...core.html import visible

        note = f"\n{self._error}" if self._error is not None else ""
        return visible(self.text[:SHOWN] + note)

    def _ipython_display_(self) -> None:
        if "ipykernel" not in sys.modules:
            # A terminal cannot repaint, so the text is printed as it arrives.
            from ...core.html import visible

            for piece in self:
                print(visible(piece), end="", flush=True)
            print()
            return
        with self._changed:
            first = self._screen is None
            if not self._ended and first:
                self._screen = _Page(self._html()) if in_voila() else _Output()
                return
        _display({"text/html": self._html(), "text/plain": self._plain()})

    def __repr__(self) -> str:
        state = "failed" if self._error else "done" if self._ended else "coming"
        return f"<LiveAnswer, {state}: {len(self.text):,} characters; .wait(), .text, .close()>"


class _Output:
    """One output of a notebook that is repainted in its place.

    It is plain HTML, not a widget: front ends show a notice while a widget loads, and a saved notebook does not keep
    one.
    """

    def __init__(self) -> None:
        self._handle = _display({"text/html": "", "text/plain": ""}, display_id=True)

    def show(self, html: str, plain: str = "") -> None:
        self._handle.update({"text/html": html, "text/plain": plain}, raw=True)


class _Page:
    """The same as a widget, for front ends that accept no outputs after a cell has run."""

    def __init__(self, html: str) -> None:
        from ipywidgets import HTML

        self._html = detached(lambda: HTML(html))
        _display(self._html._repr_mimebundle_())

    def show(self, html: str, plain: str = "") -> None:
        self._html.value = html


def _display(bundle: dict[str, Any], **options: Any) -> Any:
    from IPython import display

    show: Any = display.display
    return show(bundle, raw=True, **options)
