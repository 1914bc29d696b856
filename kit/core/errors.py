"""The errors every part of the toolkit raises, cut by what a caller can do about them.

    KitError                    anything this package raises on purpose
      InputError                the call was wrong; nothing was sent     -> fix the arguments   (also ValueError)
      SetupError                no address, credential, lab or extra     -> set it up as the message says
      TransportError            no answer, or only half of one           -> try again, look at the service
        Unreachable             nothing was sent                         -> safe to repeat      (also ConnectionError)
        Lost                    the connection broke midway                                     (also ConnectionError)
        Silent                  no answer in time                                               (also TimeoutError)
      AnswerError               an answer this service does not give     -> wrong address, proxy, or a limit

Each service adds the names of its reference below `KitError`; those mean that the service refused.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from types import FrameType
from typing import Any

from .html import visible

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class KitError(Exception):
    """An expected failure. The message says what failed, on which resource, what the service answered, and what to do.

    Attributes that a caller may branch on are plain fields: `service`, `op`, `resource`, `status`, `hint`.
    """

    service: str | None = None
    op: str | None = None
    resource: str | None = None
    status: int | None = None
    hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.hint = hint
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        # Names and answers are untrusted: a terminal would act on control characters in them.
        return visible(self._in_full())

    def _in_full(self) -> str:
        """Return the whole message without escapes; each service composes it in its own way."""
        message = super().__str__()
        return f"{message}\n  {self.hint}" if self.hint else message

    def _render_traceback_(self) -> list[str]:
        """Return the short traceback of a notebook: the caller's own line, then the message."""
        return short_traceback(self)


def short_traceback(error: BaseException) -> list[str]:
    """Return the frames outside this package and outside any library, then the message; for display in a cell."""
    lines = []
    for frame, lineno in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if not _callers(name):
            continue
        source = traceback.FrameSummary(name, lineno, frame.f_code.co_name).line or ""
        if not source.strip() or source.startswith("get_ipython().run_"):
            continue  # the code that runs a magic is not the caller's
        where = "cell" if "ipykernel" in name or name.startswith("<") else os.path.basename(name)
        lines.append(f"{where}, line {lineno}: {source.strip()}")
    return [*lines[-3:], visible(f"{type(error).__name__}: {error}")]


def _callers(file: str) -> bool:
    """Return whether a file is the caller's: none of this package, of a library, or of Python itself."""
    return not (file.startswith(_PACKAGE) or "site-packages" in file or f"{os.sep}lib{os.sep}python" in file)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the caller's that led here, however deep in this package or in a magic."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - documented; `inspect` has no other
    while frame is not None and not _callers(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        warnings.warn(visible(message), category, stacklevel=2)
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(visible(message), category, frame.f_code.co_filename, frame.f_lineno, registry=registry)


class Interrupted(KeyboardInterrupt):
    """A read that was interrupted; `partial` holds what had arrived, in the form that the read returns."""

    def __init__(self, partial: Any, what: str, count: int | None = None) -> None:
        super().__init__(
            f"{len(partial) if count is None else count:,} {what} had come: sys.last_value.partial has them"
        )
        self.partial, self._arguments = partial, (partial, what, count)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    def _render_traceback_(self) -> list[str]:
        return [f"interrupted: {self}"]


class InputError(KitError, ValueError):
    """The call itself is wrong; nothing was sent."""


CLOSED = "the client is closed"
CLOSED_HINT = "make a new one; a `with` block closes its client at its end"


class SetupError(KitError):
    """Something that must be given or installed first is missing; the message names every way to give it."""


class TransportError(KitError):
    """No complete answer arrived.

    `maybe_received` says whether the service may have acted on the request: False means that it cannot have.
    """

    maybe_received: bool = True


class Unreachable(TransportError, ConnectionError):
    """No connection could be made; nothing was sent, so repeating is safe."""

    maybe_received = False


class Lost(TransportError, ConnectionError):
    """The connection broke before the answer was complete."""


class Silent(TransportError, TimeoutError):
    """The service did not answer in time."""


class AnswerError(KitError):
    """The answer is not one that this service gives: too large, not readable, or of another protocol."""
