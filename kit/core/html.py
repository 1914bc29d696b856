"""The one place where HTML is made. Everything that comes from elsewhere is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LONGEST = 200
"""Characters of a value that are shown; the cell's title has up to ten times as many."""

PLAIN = "mathjax_ignore tex2jax_ignore"
"""The class that keeps MathJax from reading text between two dollar signs as mathematics."""

# Names of Jupyter's own theme colours, so that light and dark both read well.
_CELL = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"


def visible(value: Any) -> str:
    """Return a value as text that cannot act: no control characters, no direction overrides, no lone surrogates.

    >>> visible("a\\x1b[31mb\\u202ec")
    'a\\\\x1b[31mb\\\\u202ec'
    """
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text
    return "".join(
        char
        if (char.isprintable() and not 0xD800 <= ord(char) <= 0xDFFF) or char == "\n"
        else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text
    )


def one_line(value: Any) -> str:
    """Return a value as text that cannot act and stays on its line.

    >>> one_line("a\\nb")
    'a\\\\nb'
    """
    return visible(value).replace("\n", "\\n")


def text(value: Any) -> str:
    """Return a line of text."""
    return f'<div class="{PLAIN}">{escape(visible(value))}</div>'


def foot(lines: Iterable[Any]) -> str:
    """Return lines below something, smaller than it."""
    style = "opacity:.75;font-size:.9em;margin-top:.3em;overflow-wrap:anywhere"
    return "".join(f'<div class="{PLAIN}" style="{style}">{escape(one_line(line))}</div>' for line in lines)


def cell(value: Any) -> str:
    """Return a value in a table: cut where it is long, with more of it on hover."""
    longest = LONGEST * 10
    text = value if isinstance(value, str) else str(value)
    shown = visible(text[: longest + 1])  # the rest would only take time
    if len(shown) <= LONGEST:
        return escape(shown)
    return f'<span title="{escape(shown[:longest])}">{escape(shown[:LONGEST])}…</span>'


def across(inner: str, what: str) -> str:
    """Return HTML in a part that scrolls sideways by itself, so that the text around it keeps to the page's width."""
    style = "overflow-x:auto;width:0;min-width:100%"  # it adds nothing to the width that its container asks for
    return f'<div style="{style}" tabindex="0" role="region" aria-label="{escape(visible(what))}">{inner}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a small table."""
    titles = "".join(f'<th style="{_CELL}">{cell(name)}</th>' for name in head)
    lines = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell(value)}</td>' for value in row) + "</tr>" for row in rows
    )
    style = "font-size:var(--jp-code-font-size,13px)"
    return f'<table class="{PLAIN}" style="{style}"><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>'
