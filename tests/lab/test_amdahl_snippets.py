"""Every Python snippet of the reference, run against the lab with only its imports and its address changed.

The reference is read from beside the checkout where it is there; the snippets that use the client are run with ours,
and the guide's own client is run as it stands, against the same server.
"""

import os
import re
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

GUIDES = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("004_*.txt"))
needs_guide = pytest.mark.skipif(not GUIDES, reason="the reference is not beside this checkout (shared/seeds)")


def snippets():
    return re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL) if GUIDES else []


def the_one_with(words):
    (found,) = [snippet for snippet in snippets() if words in snippet]
    return found


@pytest.fixture
def world(lab, monkeypatch):
    """What a reader has after the guide's set-up and our import."""
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    scope = {"__name__": "guide"}
    exec("from kit.amdahl import *\nfrom typing import *\nimport json, time, os", scope)
    exec(the_one_with('AMDAHL_URL = os.environ["AMDAHL_URL"]'), scope)
    return scope


@needs_guide
def test_the_guide_has_the_snippets_that_are_run_here():
    assert len(snippets()) == 16


@needs_guide
def test_query(world, capsys):
    exec(the_one_with("GROUP BY channel ORDER BY events DESC"), world)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(int(line.split()[1]) > 0 for line in lines)


@needs_guide
def test_pages(world, capsys):
    exec(the_one_with('"name": "Weekly sentiment"'), world)
    assert capsys.readouterr().out.strip() == world["page"]["id"]


@needs_guide
def test_stream(world, capsys):
    client = world["client"] = world["AmdahlClient"]()
    world["session_id"] = world["start_agent"](
        client, profile_id="researcher", task="x", input_params={"seconds": 0.2}
    )["session_id"]
    exec(the_one_with("for event in stream_agent(client, session_id)"), world)
    assert capsys.readouterr().out.splitlines()[-1].startswith("session.completed")


@needs_guide
def test_error_handling(world, capsys):
    world["client"] = world["AmdahlClient"]()
    exec(the_one_with('start_agent(client, profile_id="content_writer", task="")'), world)
    assert capsys.readouterr().out.startswith("bad input: [400 invalid_argument]")


@needs_guide
def test_the_receiver(world):
    """The guide's Flask receiver, with our signature check, fed by the lab's real deliveries."""
    import json
    import time
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    os.environ["WEBHOOK_SECRET"] = "ab" * 32
    try:
        exec(the_one_with("@app.post"), world)
    finally:
        del os.environ["WEBHOOK_SECRET"]
    statuses = []

    def recording(environ, start_response):
        def start(status, headers, *rest):
            statuses.append(status)
            return start_response(status, headers, *rest)

        return world["app"](environ, start)

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_):
            pass

    with make_server("127.0.0.1", 0, recording, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = world["AmdahlClient"]()
        hook = world["register_webhook"](
            client,
            url=f"http://127.0.0.1:{server.server_port}/hooks/amdahl",
            events=["session.completed"],
            secret="ab" * 32,
        )
        world["start_agent"](client, profile_id="researcher", task="x", input_params={"seconds": 0.1})
        deadline = time.monotonic() + 10
        while not statuses and time.monotonic() < deadline:
            time.sleep(0.05)
        world["delete_webhook"](client, hook["id"])
        server.shutdown()
    assert statuses[0].startswith("202"), json.dumps(statuses)


@needs_guide
def test_the_guides_own_code_as_it_stands(lab, monkeypatch, capsys):
    """Its client, its helpers, its SSE readers: the server must serve them unmodified."""
    for name, value in lab.env().items():
        monkeypatch.setenv(name, value)
    scope = {"__name__": "guide"}
    for snippet in snippets():
        if "@app.post" in snippet:
            continue
        if "for event in stream_agent" in snippet:
            start = scope["start_agent"](
                scope["client"], profile_id="researcher", task="x", input_params={"seconds": 0.2}
            )
            scope["session_id"] = start["session_id"]
        exec(snippet.replace("/<list-endpoint>", "/pages"), scope)
    client, session_id = scope["client"], scope["session_id"]
    out = capsys.readouterr().out
    assert "session.completed" in out
    assert "bad input: [400 invalid_argument]" in out
    assert scope["wait_for_agent"](client, session_id)["status"] == "complete"
    assert scope["with_retry"](lambda: scope["get_agent_status"](client, session_id))["status"] == "complete"
    assert [event["type"] for event in scope["stream_agent_httpx"](session_id)][-1] == "session.completed"
    names = {page["id"] for page in scope["iter_pages"](client)}
    assert scope["page"]["id"] in names
    hook = scope["register_webhook"](client, url="http://127.0.0.1:9/", events=["session.failed"], description="d")
    assert scope["update_webhook"](client, hook["id"], {"active": False})["active"] is False
    scope["delete_webhook"](client, hook["id"])
    scope["archive_page"](client, scope["page"]["id"])
    client.session.close()
