"""Where HTML is made, nothing that comes from elsewhere can act."""

import pytest

from kit.core.html import PLAIN, cell, table, text, visible

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</td><script>alert(1)</script>",
    '"><b onmouseover=alert(1)>',
    "'; alert(1) //",
    "&lt;script&gt;",
    "a\x00b\x1b[31mred\x07",
    "\u202egnp.exe",
    "\ud800 lone",
    "x" * 10_000_000,
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_harmless_and_bounded(payload):
    for made in (text(payload[:5000]), cell(payload), table([payload], [[payload]])):
        made.encode()
        inner = made
        for ours in ("div", "table", "thead", "tbody", "tr", "th", "td", "span"):
            inner = inner.replace(f"</{ours}>", "").replace(f"<{ours}>", "")
        import re

        inner = re.sub(r'<(div|table|th|td|span)( (class|style|title)="[^"<>]*")+>', "", inner)
        assert "<" not in inner
        assert ">" not in inner
        assert "\x00" not in made
        assert "\x1b" not in made
        assert "\u202e" not in made
    assert len(cell(payload)) < 20_000


def test_ordinary_text_stays_readable():
    assert visible("Grüße, 東京 😀") == "Grüße, 東京 😀"
    assert text("a < b & c") == f'<div class="{PLAIN}">a &lt; b &amp; c</div>'
