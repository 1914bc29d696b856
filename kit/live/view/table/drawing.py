"""The HTML of a view, by pure functions. Every value is escaped before it comes here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ....core.html import visible
from .values import Cell, safe

# Colours of Jupyter's theme where there is one. Elsewhere text has the colour of the page: secondary text is the same
# but fainter, lines are a grey that is visible on white and on black, and warnings have a mark beside their text.
STYLE = """<style>
.kit-live{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);
color:inherit;line-height:1.4}
.kit-live-dot{display:inline-block;width:8px;height:8px;border-radius:50%;margin-right:6px;vertical-align:1px}
.kit-live-state{font-weight:600}
.kit-live-what{opacity:.78;margin-left:8px;overflow-wrap:anywhere}
.kit-live-sep{display:none}
.kit-live-error{white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0 4px;padding-left:8px;
border-left:3px solid #d32f2f;line-height:18px;font-family:var(--jp-code-font-family,monospace);font-size:12px}
.kit-live-figures{display:flex;flex-wrap:wrap;align-items:center;column-gap:16px;row-gap:2px;min-height:34px;
font-variant-numeric:tabular-nums}
.kit-live-figures b{font-weight:600;font-size:1.15em}
.kit-live-figures .kit-live-figure{white-space:nowrap}
.kit-live-figures .kit-live-warn{border-left:3px solid #f57c00;padding-left:6px}
.kit-live-figures svg{display:block;width:150px;height:28px;flex:0 0 auto}
.kit-live-figures .kit-live-count{min-width:11ch}
.kit-live table.kit-live-rows{table-layout:fixed;border-collapse:collapse;border:none;margin:0;color:inherit;
font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:18px}
.kit-live table.kit-live-rows th,.kit-live table.kit-live-rows td{overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;padding:1px 14px 1px 0;text-align:left;height:20px;line-height:18px;box-sizing:border-box;
color:inherit;background:none;border:none;border-bottom:1px solid rgba(128,128,128,.25);unicode-bidi:isolate;
max-width:0}
.kit-live table.kit-live-rows th{font-weight:600;border-bottom:1px solid rgba(128,128,128,.6)}
.kit-live table.kit-live-rows .kit-live-n{text-align:right}
.kit-live table.kit-live-rows tbody tr{background:none;color:inherit}
.kit-live table.kit-live-rows tbody tr:hover{background:rgba(128,128,128,.14)}
.kit-live table.kit-live-rows tr[aria-hidden] td{border-color:transparent}
.kit-live-note{opacity:.78;font-size:12px;padding:4px 0 0;position:sticky;left:0}
.kit-live-moving{content-visibility:auto;contain-intrinsic-size:auto 420px}
.kit-live-moving table.kit-live-rows th{position:sticky;top:0;z-index:1;
background:var(--jp-layout-color0,var(--vscode-editor-background,Canvas))}
.kit-keys .jupyter-widgets-disconnected::before,.kit-keys.jupyter-widgets-disconnected::before{display:none}
.jupyter-widgets-disconnected .kit-live-dot{background:rgb(138,138,138)!important}
.jupyter-widgets-disconnected .kit-live-now::before{content:"was "}
.kit-keys.jupyter-widgets-disconnected .kit-live-controls{display:none}
</style>"""
# The last four rules: after a restart of the kernel a page keeps the widgets, which do not answer any more.

_GREY = "#8a8a8a"
_COLOURS = {"live": "#388e3c", "paused": "#f57c00", "reconnecting": "#f57c00", "failed": "#d32f2f"}
_SEPARATOR = ' <span class="kit-live-sep">· </span>'
"""Visible only without the style sheet, where words would run together."""
_W, _H = 150, 28


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures above the table."""

    total: int
    rate: float | None
    """None for a result, whose rows are replaced."""
    line: Sequence[float]
    lag: int | None = None
    caught_up: bool | None = None
    dropped: int = 0
    skipped: int = 0
    gaps: int = 0
    waiting: int = 0
    """Rows that wait at the service while it is paused."""
    newer: int = 0
    """Rows that came after the table was stopped."""
    matching: int | None = None
    """Rows that pass the filter of the view, if it has one."""
    notes: Sequence[str] = ()
    """Notes of the source about its rows."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column; `width` is in characters."""

    name: Cell
    width: int
    right: bool


def state_line(state: str, what: str, *, stood: str = "") -> str:
    """Return state and heading: the only part that a screen reader announces, and only when it changes.

    `stood` is the time of a snapshot: a state that may have changed since is shown as past, without a colour.
    """
    over = state in ("closed", "failed")
    colour = _COLOURS.get(state, _GREY) if not stood or over else _GREY
    word = state if not stood or over else f"was {state}"
    when = f'{_SEPARATOR}<span class="kit-live-what">as of {safe(stood)}</span>' if stood else ""
    now = "" if stood or over else " kit-live-now"
    live = ' role="status" aria-live="polite"' if not stood else ""
    return (
        f"<div{live}>"
        f'<span class="kit-live-dot" style="background:{colour}" aria-hidden="true"></span>'
        f'<span class="kit-live-state{now}">{safe(word)}</span>{_SEPARATOR}'
        f'<span class="kit-live-what">{safe(what)}</span>{when}</div> '
    )


def errors(messages: Sequence[str]) -> str:
    """Return errors, each on lines of its own."""
    return "".join(
        f'<div class="kit-live-error" role="alert">{escape(visible(message[:600]))}</div>' for message in messages
    )


def figures(shown: Figures) -> str:
    """Return total, rate, throughput line and warnings."""
    parts = [f'<span class="kit-live-figure kit-live-count"><b>{shown.total:,}</b> rows</span>']
    if shown.rate is not None:
        most = max(shown.line, default=0)
        parts += [
            f'<span class="kit-live-figure kit-live-count"><b>{rate(shown.rate)}</b>/s</span>',
            f'<span class="kit-live-figure" title="rows in each of the last 60 seconds, at most {most:,.0f}/s">'
            f"{sparkline(shown.line)}</span>",
        ]
    if shown.waiting:
        parts.append(
            _figure(f"{shown.waiting:,} wait", "rows that the service has and that come when it goes on", True)
        )
    elif shown.caught_up:
        parts.append(_figure("✓ caught up", "the newest row there is has come"))
    elif shown.lag:
        parts.append(_figure(f"{shown.lag:,} behind", "rows that the service is ahead", True))
    if shown.newer:
        parts.append(_figure(f"{shown.newer:,} newer", "rows that came since the table stands still"))
    if shown.matching is not None:
        parts.append(_figure(f"{shown.matching:,} match the filter", ""))
    for count, word, title in (
        (shown.dropped, "left the buffer", "the buffer is bounded; the oldest rows left it"),
        (shown.skipped, "skipped while paused", "the service cannot hold rows back"),
        (shown.gaps, "gaps", "the connection was lost, and the service cannot tell what came meanwhile"),
    ):
        if count:
            parts.append(_figure(f"{count:,} {word}", title, True))
    parts += [f'<span class="kit-live-warn">{safe(note)}</span>' for note in shown.notes]
    return f'<div class="kit-live-figures">{_SEPARATOR.join(parts)}</div> '


def _figure(words: str, title: str, warns: bool = False) -> str:
    attribute = f' title="{safe(title)}"' if title else ""
    return f'<span class="kit-live-figure{" kit-live-warn" if warns else ""}"{attribute}>{safe(words)}</span>'


def rate(value: float) -> str:
    """Return a rate in a few characters, of nearly constant width.

    >>> rate(0), rate(3.26), rate(20_431.7)
    ('0', '3.3', '20,432')
    """
    return f"{value:,.1f}" if 0 < value < 10 else f"{value:,.0f}"


def sparkline(values: Sequence[float]) -> str:
    """Return a small line of the values, drawn as SVG."""
    finite = [value if math.isfinite(value) and value > 0 else 0.0 for value in values] or [0.0]
    top = max(finite)
    step = _W / max(len(finite) - 1, 1)
    points = [(n * step, _H - 2 - (value / top if top else 0) * (_H - 5)) for n, value in enumerate(finite)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = "var(--jp-brand-color1,#2f86d6)"
    return (
        f'<svg width="{_W}" height="{_H}" viewBox="0 0 {_W} {_H}" aria-hidden="true">'
        f'<polygon points="0,{_H - 1} {line} {_W},{_H - 1}" fill="{colour}" fill-opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.25" stroke-linejoin="round"/></svg>'
    )


def rows_table(heads: Sequence[Head], rows: Sequence[str], what: str, empty: int = 0) -> str:
    """Return the table; `empty` blank rows at its end keep its height constant while it fills."""
    width = sum(head.width for head in heads)
    columns = "".join(f'<col style="width:{100 * head.width / max(width, 1):.2f}%">' for head in heads)
    titles = "".join(f'<th scope="col"{_title(head.name)}{_class(head.right)}>{head.name.text}</th> ' for head in heads)
    blank = f"{BLANK}{'<td>&nbsp;</td>' * max(len(heads), 1)}</tr>" * empty
    return (
        f'<table class="kit-live-rows" aria-label="{safe(what)}" style="width:max(100%,{max(width, 20)}ch)">'
        f"<colgroup>{columns}</colgroup><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}{blank}</tbody></table>"
    )


BLANK = '<tr aria-hidden="true">'
"""The start of a blank row."""


def without_blanks(table: str) -> str:
    """Return a table without its blank rows, after the last row has come."""
    head, blank, _ = table.partition(BLANK)
    return head + table[table.rindex("</tbody>") :] if blank else table


def row(values: Sequence[Cell], heads: Sequence[Head], number: int) -> str:
    """Return one row of the table, with its number in the feed, which a page sends when the row is clicked."""
    return (
        f'<tr data-n="{number}">'
        + "".join(
            f"<td{_title(cell)}{_class(head.right)}>{cell.text}</td> " for cell, head in zip(values, heads, strict=True)
        )
        + "</tr>"
    )


def note(text: str) -> str:
    """Return a line below the table."""
    return f'<div class="kit-live-note">{safe(text)}</div>'


def main(*parts: str, moving: bool = False, number: int = 0) -> str:
    """Return the body of a view. With `moving`, the browser lays it out only while it is on the screen."""
    attribute = f' data-number="{number}"' if number else ""
    return f'<div class="kit-live{" kit-live-moving" if moving else ""}"{attribute}>{"".join(parts)}</div>'


def _title(cell: Cell) -> str:
    return f' title="{cell.title}"' if cell.title else ""


def _class(right: bool) -> str:
    return ' class="kit-live-n"' if right else ""
