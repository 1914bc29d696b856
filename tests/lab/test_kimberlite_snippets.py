"""Every Python snippet of the reference as it is printed: only the import line, the address and the key are others.

The reference is read from beside the checkout where it is there.
"""

import re
import threading
from pathlib import Path

import pytest

from kit.kimberlite import Client, Position, StreamId, TenantId

pytestmark = pytest.mark.lab

GUIDES = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("000_*.txt"))


@pytest.mark.skipif(not GUIDES, reason="the reference is not beside this checkout (shared/seeds)")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_guide_word_for_word(lab, monkeypatch, capsys):
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    own = {
        "from kimberlite": "from kit.kimberlite",
        "localhost:3000": lab.env()["KIMBERLITE_ADDRESS"],
        "your-api-key": lab.env()["KIMBERLITE_API_KEY"],
    }
    snippets = re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL)
    assert len(snippets) == 15
    scope = {"TenantId": TenantId, "StreamId": StreamId, "Position": Position, "should_stop": True}
    scope |= {"tenant": TenantId(1), "stream": StreamId(1, 100), "data": b"data"}
    closing = None
    for snippet in snippets:
        for theirs, ours in own.items():
            snippet = snippet.replace(theirs, ours)
        if snippet.startswith("client.close()"):
            closing = snippet  # the guide goes on with the client
            continue
        if "\ntry:" in snippet:
            scope["client"] = Client()  # that of the snippet before was closed by its block
        if snippet.startswith("# Event fields"):
            scope["event"] = scope["events"][0]
        if "subscription" in snippet:
            # Something has to happen for it to be told of.
            writer = threading.Timer(0.5, write)
            writer.start()
        exec(snippet, scope)
        if "subscription" in snippet:
            writer.join()
    scope["test_append"]()
    exec(closing, scope)
    out = capsys.readouterr().out
    assert "Data: b'event data'" in out and "New event: b'news'" in out and "rror" not in out


def write():
    with Client() as client:
        client.append(TenantId(1), StreamId(1, 100), b"news")
