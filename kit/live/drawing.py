"""The HTML of a view: what a feed's state looks like. Pure functions; every value is escaped before it comes here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .values import Cell, safe

STYLE = """<style>
.kit-live{font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:var(--jp-ui-font-size1,13px);
color:var(--jp-ui-font-color1,#222)}
.kit-live-dot{display:inline-block;width:8px;height:8px;border-radius:50%;margin-right:6px;vertical-align:1px}
.kit-live-state{font-weight:600}
.kit-live-what{color:var(--jp-ui-font-color2,#666);margin-left:8px;overflow-wrap:anywhere}
.kit-live-error{color:var(--jp-error-color1,#b71c1c);white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0 4px;
font-family:var(--jp-code-font-family,monospace);font-size:12px}
.kit-live-figures{display:flex;flex-wrap:wrap;align-items:center;column-gap:16px;row-gap:2px;min-height:34px;
position:sticky;left:0;top:0;background:var(--jp-layout-color0,transparent);z-index:1;font-variant-numeric:tabular-nums}
.kit-live-figures b{font-weight:600;font-size:1.15em}
.kit-live-figures span{color:var(--jp-ui-font-color2,#666);white-space:nowrap}
.kit-live-figures b{color:var(--jp-ui-font-color1,#222)}
.kit-live-figures .kit-live-warn{color:var(--jp-warn-color0,#b45f06)}
.kit-live-figures svg{display:block}
.kit-live table.kit-live-rows{table-layout:fixed;border-collapse:collapse;border:none;margin:0;
font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:18px;color:var(--jp-content-font-color1,#222)}
.kit-live table.kit-live-rows th,.kit-live table.kit-live-rows td{overflow:hidden;text-overflow:ellipsis;
white-space:nowrap;padding:1px 10px 1px 0;text-align:left;height:20px;line-height:18px;box-sizing:border-box;
border:none;border-bottom:1px solid var(--jp-border-color3,#eee);unicode-bidi:isolate;max-width:0}
.kit-live table.kit-live-rows th{position:sticky;top:34px;background:var(--jp-layout-color0,transparent);
color:var(--jp-ui-font-color2,#666);font-weight:600;
border-bottom:1px solid var(--jp-border-color1,#bbb)}
.kit-live table.kit-live-rows .kit-live-n{text-align:right}
.kit-live table.kit-live-rows tbody tr{background:none}
.kit-live table.kit-live-rows tbody tr:hover{background:var(--jp-layout-color2,#f3f3f3)}
.kit-live-note{color:var(--jp-ui-font-color2,#666);font-size:12px;padding:4px 0 0;position:sticky;left:0}
</style>"""

_COLOURS = {
    "live": "var(--jp-success-color1,#388e3c)",
    "connecting": "var(--jp-ui-font-color3,#999)",
    "paused": "var(--jp-warn-color1,#f57c00)",
    "reconnecting": "var(--jp-warn-color1,#f57c00)",
    "closed": "var(--jp-ui-font-color3,#999)",
    "failed": "var(--jp-error-color1,#d32f2f)",
}
_W, _H = 150, 28


@dataclass(frozen=True, slots=True)
class Figures:
    """What stands above the table."""

    total: int
    rate: float | None
    """None for a result, whose rows are replaced by others."""
    line: Sequence[float]
    lag: int | None = None
    caught_up: bool | None = None
    dropped: int = 0
    skipped: int = 0
    gaps: int = 0
    matching: int | None = None
    """Rows that the view's own filter let through, where it has one."""
    notes: Sequence[str] = ()
    """What the source says of its rows."""


@dataclass(frozen=True, slots=True)
class Head:
    """A column's head; `width` in characters."""

    name: Cell
    width: int
    right: bool


def state_line(state: str, what: str, error: str = "") -> str:
    """State and heading: the one part that a screen reader is told of, and only when it changes."""
    colour = _COLOURS.get(state, _COLOURS["closed"])
    line = (
        '<div role="status" aria-live="polite">'
        f'<span class="kit-live-dot" style="background:{colour}" aria-hidden="true"></span>'
        f'<span class="kit-live-state">{safe(state)}</span><span class="kit-live-what">{safe(what)}</span></div>'
    )
    return line + (f'<div class="kit-live-error">{safe(error[:600])}</div>' if error else "")


def figures(shown: Figures) -> str:
    """Total, rate, throughput line, and what one should know."""
    parts = [f"<span><b>{shown.total:,}</b> rows</span>"]
    if shown.rate is not None:
        most = max(shown.line, default=0)
        parts += [
            f"<span><b>{rate(shown.rate)}</b>/s</span>",
            f'<span title="rows in each of the last 60 seconds, at most {most:,.0f}/s">{sparkline(shown.line)}</span>',
        ]
    if shown.caught_up:
        parts.append('<span title="the newest row there is has come">✓ caught up</span>')
    elif shown.lag:
        parts.append(f'<span class="kit-live-warn" title="rows that the service is ahead">{shown.lag:,} behind</span>')
    if shown.matching is not None:
        parts.append(f"<span>{shown.matching:,} match the filter</span>")
    for count, word, title in (
        (shown.dropped, "left the buffer", "the buffer is bounded; the oldest rows left it"),
        (shown.skipped, "skipped while paused", "the service cannot hold rows back"),
        (shown.gaps, "gaps", "the connection was lost, and the service cannot tell what came meanwhile"),
    ):
        if count:
            parts.append(f'<span class="kit-live-warn" title="{title}">{count:,} {word}</span>')
    parts += [f'<span class="kit-live-warn" style="white-space:normal">{safe(note)}</span>' for note in shown.notes]
    return f'<div class="kit-live-figures">{"".join(parts)}</div>'


def rate(value: float) -> str:
    """A rate in a few characters, of steady width.

    >>> rate(0), rate(3.26), rate(20_431.7)
    ('0', '3.3', '20,432')
    """
    return f"{value:,.1f}" if 0 < value < 10 else f"{value:,.0f}"


def sparkline(values: Sequence[float]) -> str:
    """A small line of the values, drawn as SVG."""
    finite = [value if math.isfinite(value) and value > 0 else 0.0 for value in values] or [0.0]
    top = max(finite)
    step = _W / max(len(finite) - 1, 1)
    points = [(n * step, _H - 2 - (value / top if top else 0) * (_H - 5)) for n, value in enumerate(finite)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = "var(--jp-brand-color1,#1976d2)"
    return (
        f'<svg width="{_W}" height="{_H}" viewBox="0 0 {_W} {_H}" aria-hidden="true">'
        f'<polygon points="0,{_H - 1} {line} {_W},{_H - 1}" fill="{colour}" fill-opacity="0.15"/>'
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.25" stroke-linejoin="round"/></svg>'
    )


def rows_table(heads: Sequence[Head], rows: Sequence[str], what: str, empty: int = 0) -> str:
    """The table; `empty` rows below keep its height while it fills."""
    width = sum(head.width for head in heads)
    columns = "".join(f'<col style="width:{100 * head.width / max(width, 1):.2f}%">' for head in heads)
    titles = "".join(f'<th scope="col"{_title(head.name)}{_class(head.right)}>{head.name.text}</th>' for head in heads)
    blank = f'<tr aria-hidden="true">{"<td>&nbsp;</td>" * max(len(heads), 1)}</tr>' * empty
    return (
        f'<table class="kit-live-rows" aria-label="newest rows of {safe(what)}" '
        f'style="width:max(100%,{max(width, 20)}ch)">'
        f"<colgroup>{columns}</colgroup><thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}{blank}</tbody></table>"
    )


def row(values: Sequence[Cell], heads: Sequence[Head]) -> str:
    """One row of the table."""
    return (
        "<tr>"
        + "".join(
            f"<td{_title(cell)}{_class(head.right)}>{cell.text}</td>" for cell, head in zip(values, heads, strict=True)
        )
        + "</tr>"
    )


def note(text: str) -> str:
    """A line below the table."""
    return f'<div class="kit-live-note">{safe(text)}</div>'


def main(*parts: str) -> str:
    """The body of a view."""
    return f'<div class="kit-live">{"".join(parts)}</div>'


def _title(cell: Cell) -> str:
    return f' title="{cell.title}"' if cell.title else ""


def _class(right: bool) -> str:
    return ' class="kit-live-n"' if right else ""
