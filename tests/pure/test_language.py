"""The words of the package: those that a reader had to learn here, and that came back before, are named and kept out."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import kit

ROOT = Path(kit.__file__).parent
PAGES = ROOT.parent / "notebooks"

WORDS = {
    r"nobody|somebody|whoever": "name who acts: the client, the caller, the user, the server",
    r"so many": "name the number: `count`, a limit, the largest number of",
    r"wings?(?! and Gong)": "the glossary has no such word: a service's package",
    r"(?:either|both) colou?rs?|in two colou?rs": "say blocking and async",
    r"befalls?|be had|in earnest|for ever|anew|at hand": "archaic: happens, obtain, really, forever, again, available",
    r"none that can": "inverted: say what exists, or raise",
    r"unless told otherwise": "say by default",
}
"""Words for prose, each with the reason why it is kept out and what to write in its place."""

NAMES = {
    "told": "a noun says what was told: message, answer, reason, fields",
    "found": "a noun says what was found: match, rows, names",
    "heard": "a noun says what was heard: frame, topics",
    "said": "a noun says what was said: message, text, reply",
    "asked": "a noun says what was asked: request, question, payload",
}
"""Names of variables that hide what their value is."""


@cache
def sources() -> list[tuple[str, Path]]:
    return [(path.relative_to(ROOT).as_posix(), path) for path in sorted(ROOT.rglob("*.py"))]


@cache
def prose() -> list[tuple[str, str]]:
    """Return the comments and texts of all files, each with its place."""
    return [(f"kit/{name}:{line}", text) for name, path in sources() for line, text in prose_of(path)]


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments and texts of a file, with the lines where they begin."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) or "FSTRING_MIDDLE" in tokenize.tok_name[token.type]:
                yield token.start[0], " ".join(token.string.split())


@cache
def bindings() -> dict[str, set[str]]:
    """Return the places where functions bind each name."""
    places: dict[str, set[str]] = {}
    for name, path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for line, bound in bound_in(node):
                    places.setdefault(bound, set()).add(f"kit/{name}:{line}")
    return places


def bound_in(function: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a function binds: its parameters and its variables."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.lineno, node.name


@pytest.mark.parametrize("words", WORDS)
def test_prose_is_plain(words):
    pattern = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    places = [place for place, text in prose() if pattern.search(text)]
    places += [path.name for path in PAGES.glob("*.md") if path.stem != "api" and pattern.search(path.read_text())]
    assert places == [], WORDS[words]


@pytest.mark.parametrize("word", NAMES)
def test_a_variable_is_named_for_its_value(word):
    assert bindings().get(word, set()) == set(), NAMES[word]


def test_the_glossary_names_each_word_once():
    table = (PAGES / "how-it-works.md").read_text().partition("\n## Words\n")[2]
    words = re.findall(r"^\| ([a-z ]+) \| ", table, re.MULTILINE)[1:]
    assert len(words) > 15 and len(set(words)) == len(words)
