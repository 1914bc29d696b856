"""What the embedded Claude Code API says of itself, and its WebSocket beyond the first answer."""

import json
import re

import pytest
from websockets.sync.client import connect

from tests.lab.claudelite import ClaudeLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def described(lab):
    answer = lab.raw("GET", "/openapi.json", key=None)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    return answer.json()


def test_the_description_has_every_route_and_no_other(lab, described):
    assert described["openapi"].startswith("3.") and described["info"]["title"] == "Claude Code API Service"
    root = lab.raw("GET", "/", key=None).json()
    assert lab.raw("GET", root["docs"], key=None).status_code == 200
    told = set(described["paths"]) | {"/v1/stream"}
    assert {root["health"], root["ready"], *root["endpoints"].values()} <= told
    for path, operations in described["paths"].items():
        [(method, operation)] = operations.items()
        asked = path.replace("{provider}", "anthropic")
        with_key = lab.raw(method.upper(), asked, {} if method == "post" else None)
        assert with_key.status_code == (422 if method == "post" else 200), path
        without = lab.raw(method.upper(), asked, {} if method == "post" else None, key=None)
        assert (without.status_code == 401) == ("security" in operation), path
        assert lab.raw("DELETE", asked).status_code == 405


def test_described_bodies_are_what_is_taken(lab, described):
    bodies = {
        path: operation["requestBody"]["content"]["application/json"]["schema"]
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if "requestBody" in operation
    }
    assert len(bodies) == 5
    for path, schema in bodies.items():
        wrong = lab.raw("POST", path, {}).json()["detail"]
        assert sorted(one["loc"][1] for one in wrong if one["type"] == "missing") == sorted(schema["required"]), path
        # A number is no list, no text and no object; a text is not a number.
        given = {
            name: "x" if one.get("type") in ("number", "integer") else 5
            for name, one in schema["properties"].items()
            if isinstance(one.get("type"), str)
        }
        refused = {one["loc"][1] for one in lab.raw("POST", path, given).json()["detail"]}
        optional = {"system_message", "user_message", "content"}
        assert refused >= set(given) - optional - ({"messages"} if path == "/v1/process" else set()), path


def test_the_page_needs_nothing_from_elsewhere(lab, described):
    for path in ("/docs", "/redoc"):
        answer = lab.raw("GET", path, key=None)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert not re.search(r"https?://|<script|src=", answer.text)
        for name in described["paths"]:
            assert f" {name}</code>" in answer.text


def test_the_websocket_goes_on_after_an_error(lab):
    chat = {"type": "chat", "model": "haiku", "messages": [{"role": "user", "content": "hi"}]}
    with connect(f"ws{lab.url[4:]}/v1/stream") as socket:

        def ask(message):
            socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
            while True:
                frame = json.loads(socket.recv(5))
                if frame["type"] in ("done", "error", "result"):
                    return frame

        for wrong, said in (
            ("{", "Invalid JSON format"),
            ({"type": "dance"}, "Unknown message type: dance"),
            ("[]", "Server error: "),
            (b"\xff", "Invalid JSON format"),
            (chat, "api_key required"),
            ({**chat, "api_key": "cc_no"}, "Invalid API key"),
            ({"type": "agentic_task", "description": "x"}, "api_key required for agentic tasks"),
            ({**chat, "api_key": lab.key, "messages": []}, "No messages provided"),
        ):
            frame = ask(wrong)
            assert frame["type"] == "error" and frame["error"].startswith(said), wrong
        assert ask({**chat, "api_key": lab.key})["type"] == "done"
        assert ask({"type": "agentic_task", "description": "Count files", "api_key": lab.key})["status"] == "completed"
