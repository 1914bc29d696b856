"""A profile as a page that a person reads in ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from ...html import PLAIN, across, cell, visible
from ..finding.scan import size_of

if TYPE_CHECKING:
    import pandas as pd

_MOST_FIELDS, _MOST_CHANGES = 40, 12
_STYLE = (
    "<style>.kit-profile{line-height:1.4;max-width:1100px}"
    ".kit-profile table{border-collapse:collapse;font-size:var(--jp-code-font-size,13px);margin:.4em 0}"
    ".kit-profile th,.kit-profile td{text-align:left!important;padding:2px 14px 2px 0;vertical-align:top;"
    "background:none!important;color:inherit}"
    ".kit-profile th{font-weight:600;white-space:nowrap;border-bottom:1px solid currentColor}"
    ".kit-profile .n{text-align:right!important;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".kit-profile td.w{overflow-wrap:anywhere;min-width:9em}.kit-profile .q{opacity:.72}"
    ".kit-profile svg{display:block;color:inherit;opacity:.8}"
    ".kit-profile .two{display:flex;flex-wrap:wrap;gap:8px 32px}"
    ".kit-profile h4{margin:.7em 0 .1em;font-size:1em}</style>"
)


class Profiled(Protocol):
    """What the page shows."""

    @property
    def forms(self) -> dict[str, int]: ...

    @property
    def df(self) -> pd.DataFrame: ...

    @property
    def hours(self) -> pd.DataFrame: ...

    @property
    def sizes(self) -> pd.DataFrame: ...

    @property
    def drift(self) -> pd.DataFrame: ...

    def headline(self) -> str: ...

    def histogram(self) -> list[tuple[int, int, int]]: ...


def page(profile: Profiled) -> str:
    """Return the profile as HTML; text from data is escaped."""
    parts = [f"<div><b>{escape(visible(profile.headline()))}</b></div>"]
    forms = profile.forms
    total = sum(forms.values())
    if total:
        shares = ", ".join(f"{form} {100 * count / total:.4g} %" for form, count in forms.items())
        parts.append(f'<div class="q">{escape(shares)}</div>')
    charts = [_hours(profile), _sizes(profile)]
    parts.append(f'<div class="two">{"".join(charts)}</div>')
    parts += [_fields(profile), _drift(profile)]
    return f'{_STYLE}<div class="kit-profile {PLAIN}">{"".join(parts)}</div>'


def _hours(profile: Profiled) -> str:
    hours = profile.hours
    if hours.empty:
        return ""
    first, last = hours["time"].iloc[0], hours["time"].iloc[-1]
    span = int((last - first).total_seconds() // 3600) + 1
    step = max(1, -(-span // 96))
    bars = [0] * (-(-span // step))
    for when, count in zip(hours["time"], hours["records"], strict=True):
        bars[int((when - first).total_seconds() // 3600) // step] += int(count)
    each = "hour" if step == 1 else f"{step} hours"
    day = "%m-%d" if first.year == last.year else "%Y-%m-%d"
    words = f"{first:{day} %H:%M} to {last:{day} %H:%M} UTC, at most {max(bars):,}"
    return _chart(f"records per {each}", bars, words)


def _sizes(profile: Profiled) -> str:
    histogram = profile.histogram()
    if not histogram:
        return ""
    sizes = dict(zip(profile.sizes["measure"], profile.sizes["bytes"], strict=True))
    words = ", ".join(f"{name} {size_of(sizes[name])}" for name in ("p50", "p90", "p99", "max"))
    return _chart("sizes of bodies", [count for _, _, count in histogram], words)


def _chart(title: str, bars: Sequence[int], words: str) -> str:
    """Return bars as a drawing in the page's text colour."""
    wide, high, most = 320, 48, max(max(bars), 1)
    step = min(24.0, wide / len(bars))
    drawn = "".join(
        f'<rect x="{n * step:.1f}" y="{high - max(1.0, high * count / most):.1f}" width="{max(1.0, step * 0.86):.1f}"'
        f' height="{max(1.0, high * count / most):.1f}"/>'
        for n, count in enumerate(bars)
        if count
    )
    svg = (
        f'<svg role="img" aria-label="{escape(f"{title}: {words}")}" width="{wide}" height="{high}"'
        f' viewBox="0 0 {wide} {high}" fill="currentColor">{drawn}</svg>'
    )
    return f'<div><h4>{escape(title)}</h4>{svg}<div class="q">{escape(words)}</div></div>'


def _fields(profile: Profiled) -> str:
    frame = profile.df
    if frame.empty:
        return ""
    rows = []
    for row in frame.head(_MOST_FIELDS).to_dict("records"):
        missing = row["missing"]
        there = "" if missing != missing else f"{100 * (1 - missing):.4g} %"
        distinct = "" if row["distinct"] != row["distinct"] or row["distinct"] is None else _number(row)
        low, high = _text(row["min"]), _text(row["max"])
        bounds = f"{low} … {high}" if low or high else ""
        cells = [
            ("", row["field"]),
            ("", row["types"]),
            ("n", there),
            ("n", distinct),
            ("w", row["top"]),
            ("w", bounds),
        ]
        shown = [(kind, cell(_text(value)).replace(" %", "&nbsp;%")) for kind, value in cells]
        rows.append("".join(f'<td class="{kind}">{value}</td>' for kind, value in shown))
    head = ("field", "type", ">present", ">distinct", "most frequent", "min … max")
    more = len(frame) - _MOST_FIELDS
    note = f'<div class="q">and {more:,} more fields: .df has all</div>' if more > 0 else ""
    left = frame.attrs["fields_left_out"]
    note += f'<div class="q">{left:,} values of further fields were not counted by field</div>' if left else ""
    return _table(head, rows) + note


def _drift(profile: Profiled) -> str:
    frame = profile.drift
    if frame.empty:
        return ""
    rows = []
    for row in frame.head(_MOST_CHANGES).to_dict("records"):
        when = "" if row["time"] is None or row["time"] != row["time"] else f"{row['time']:%Y-%m-%d %H:%M:%S}"
        cells = [
            ("n", f"{row['position']:,}"),
            ("", when),
            ("", row["field"]),
            ("", row["change"]),
            ("n", f"{row['records']:,}"),
        ]
        rows.append("".join(f'<td class="{kind}">{cell(value)}</td>' for kind, value in cells))
    more = len(frame) - _MOST_CHANGES
    note = f'<div class="q">and {more:,} more changes: .drift has all</div>' if more > 0 else ""
    return (
        "<h4>The shape changed</h4>" + _table((">position", "time (UTC)", "field", "change", ">records"), rows) + note
    )


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table; columns of numbers have a `>` before their title."""
    titles = "".join(
        f'<th class="{"n" if name.startswith(">") else ""}">{escape(name.removeprefix(">"))}</th>' for name in head
    )
    lines = "".join(f"<tr>{row}</tr>" for row in rows)
    return across(f"<table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table>", "fields and changes")


def _number(row: Any) -> str:
    return f"{'' if row['exact'] else '~'}{int(row['distinct']):,}"


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
