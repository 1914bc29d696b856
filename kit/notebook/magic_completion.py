"""Completion with Tab inside the magics: services, options, and the tables and columns that a query can name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..core.completion import Names
from .magic_explorers import reached

_FIRST = re.compile(r"\s*(%{1,2})(\w+)([^\n]*)")
_OPTIONS = {
    "amdahl": ("--limit", "--on"),
    "kql": ("--at", "--on"),
    "sql": (),
    "claude": ("--model", "--live", "--on", "--over", "--columns", "--max-cost", "--first", "--keep"),
}
_WORDS = """
    select from where group by order limit join left using on as and or not null count(*) sum avg min max distinct
    between like in having desc asc case when then else end
"""
_SQL = tuple(_WORDS.split())


class Matcher:
    """Completes names in the magics of one notebook."""

    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space
        self._names: dict[str, Names] = {}

        @context_matcher()  # type: ignore[untyped-decorator]
        def match(context: CompletionContext) -> SimpleMatcherResult:
            offered = self.offered(context.full_text, context.token, context.cursor_line)
            completions = [SimpleCompletion(text=text, type="kit") for text in offered]
            # At these words, neither other magics nor Python's names are offered.
            return SimpleMatcherResult(completions=completions, suppress=bool(completions))

        self.match = match

    def offered(self, text: str, token: str, line: int) -> list[str]:
        """Return the names that may complete `token`."""
        first = _FIRST.match(text)
        if first is None:
            return []
        magic, rest = first[2], first[3]
        if magic == "lab":
            from ..lab.services import NAMES

            return _beginning(token, (*NAMES, "use", "status", "stop"))
        if magic == "kit":
            return _beginning(token, ("calls", "doctor"))
        if magic not in _OPTIONS:
            return []
        if line == 0 and first[1] == "%%":
            if magic == "claude" and re.search(r"--model\s+\w*$", rest):
                from ..claude.wire.prices import PRICES

                return _beginning(token, tuple(PRICES))
            return _beginning(token, _OPTIONS[magic])
        if magic == "claude":
            return []
        return _beginning(token, (*self._known(magic), *_SQL))

    def _known(self, magic: str) -> tuple[str, ...]:
        if magic == "sql":
            return tuple(name for name, value in self._space.items() if not name.startswith("_") and _is_table(value))
        if magic not in self._names:
            self._names[magic] = Names(_listing(magic, self._space))
        return tuple(self._names[magic].get())


def _beginning(token: str, words: tuple[str, ...]) -> list[str]:
    # "{" begins an expression, which Python's own completion handles.
    return [word for word in dict.fromkeys(words) if word.startswith(token)] if "{" not in token else []


def _is_table(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("__dataframe__", "__arrow_c_stream__", "arrow"))


def _listing(magic: str, space: dict[str, Any]) -> Callable[[], list[str]]:
    def fetch() -> list[str]:
        if magic == "amdahl":
            schema = reached("amdahl", space).explore("schema", include_samples=False)
            return ["interactions", *map(str, schema["name"])]
        explorer = reached("kimberlite", space)
        tables = list(map(str, explorer.tables()["name"]))
        columns = [str(name) for table in tables[:50] for name in explorer.describe(table).iloc[:, 0]]
        return [*tables, *columns]

    return fetch
