"""Who may ask the embedded S2 for what, and the edges of what is asked: tokens, metrics, reads of nothing."""

import time

import pytest

from kit.s2.wire.frames import encode_frame

from .s2house import BASIN, S2S, TOKEN, code, framed, house, input_bytes, made

pytestmark = pytest.mark.lab
ALL = {"basins": {"prefix": ""}, "ops": ["read"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with house(tmp_path_factory.mktemp("s2")) as house_:
        with house_.client() as client:
            assert client.post("/v1/basins", json={"basin": BASIN}).status_code == 201
        yield house_


@pytest.fixture
def http(server):
    with server.client(s2_basin=BASIN) as client:
        yield client


@pytest.fixture
def stream(server):
    """The path of a new stream's records."""
    return made(server)


@pytest.mark.parametrize("two", [False, True])
def test_strangers_are_refused(server, two):
    with server.client(two=two, token=None) as client:
        assert client.get("/health").text == "OK"
        assert code(client.get("/v1/basins")) == (401, "authn")
        for header in ("Bearer wrong", "Bearer", f"Basic {TOKEN}", TOKEN):
            assert code(client.get("/v1/basins", headers={"authorization": header})) == (401, "authn")
    with server.client(two=two) as client:
        assert client.get("/v1/basins", headers={"host": "rebound.example"}).status_code == 403
        assert client.get("/v1/basins", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/basins", headers={"origin": "http://localhost:8888"}).status_code == 200
        assert client.get("/v1/basins", headers={"origin": "null"}).status_code == 403


def scoped(server, id, **told):
    with server.client() as client:
        answer = client.post("/v1/access-tokens", json={"id": id, **told})
        assert answer.status_code == 201, answer.text
        return server.client(token=answer.json()["access_token"], s2_basin=BASIN)


def test_a_token_expires(server):
    expires = {"expires_at": "2999-01-01T00:00:00+02:00"}
    soon = kit_time(server, 60)
    with scoped(server, "short", expires_at=soon, scope={"basins": {"prefix": ""}, "ops": ["list-basins"]}) as client:
        assert [basin["name"] for basin in client.get("/v1/basins").json()["basins"]] == [BASIN]
        server.ahead = 61_000
        try:
            assert code(client.get("/v1/basins")) == (401, "authn")
            with server.client() as root:
                assert root.get("/v1/access-tokens?prefix=short").json()["access_tokens"] == []
                again = {"id": "short", "scope": {"ops": ["read"]}, **expires}
                assert root.post("/v1/access-tokens", json=again).status_code == 201
        finally:
            server.ahead = 0


def kit_time(server, seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_a_token_gives_no_more_than_it_has(server):
    scope = {
        "basins": {"exact": BASIN},
        "streams": {"prefix": "team/"},
        "access_tokens": {"prefix": "team/"},
        "ops": ["issue-access-token", "read", "append"],
    }
    with scoped(server, "issuer", scope=scope, expires_at=kit_time(server, 3600)) as client:

        def issue(id="team/x", **more):
            told = {
                "basins": {"exact": BASIN},
                "streams": {"exact": "team/a"},
                "ops": ["read"],
                **more.pop("scope", {}),
            }
            return client.post("/v1/access-tokens", json={"id": id, "scope": told, **more}).status_code

        assert issue() == 201
        assert issue("other/x") == 403
        assert issue("team/y", scope={"ops": ["fence"]}) == 403
        assert issue("team/y", scope={"op_groups": {"account": {"read": True}}}) == 403
        assert issue("team/y", scope={"streams": {"prefix": "te"}}) == 403
        assert issue("team/y", scope={"basins": {"prefix": BASIN}}) == 403
        assert issue("team/y", expires_at=kit_time(server, 7200)) == 403
        assert issue("team/y", scope={"streams": {"prefix": "team/b/"}}, auto_prefix_streams=True) == 201
    with server.client() as root:
        told = root.get("/v1/access-tokens?prefix=team/").json()["access_tokens"]
        assert [one["id"] for one in told] == ["team/x", "team/y"]
        assert all(one["expires_at"] for one in told)  # the issuer's, where none was given


def test_orders_are_operations_of_their_own(server, stream):
    scope = {"basins": {"prefix": ""}, "streams": {"prefix": ""}}
    fence = {"records": [{"headers": [["", "fence"]], "body": "t"}]}
    trim = {"records": [{"headers": [["", "trim"]], "body": "\0" * 8}]}
    data = {"records": [{"body": "x"}]}
    for operation, allowed in (("append", data), ("fence", fence), ("trim", trim)):
        with scoped(server, f"only-{operation}", scope={**scope, "ops": [operation]}) as client:
            for body in (data, fence, trim):
                assert client.post(stream, json=body).status_code == (200 if body is allowed else 403)
            assert code(client.get(stream)) == (403, "permission_denied")
            content = encode_frame(input_bytes(b"x"))
            answer = client.post(stream, content=content, headers=S2S)
            assert answer.status_code == 200
            assert framed(answer.content)[0].terminal == (operation != "append")


def test_an_ensure_that_would_change_needs_the_right_to_change(server):
    path = made(server).removesuffix("/records")
    scope = {"basins": {"prefix": ""}, "streams": {"prefix": ""}, "ops": ["create-stream", "create-basin"]}
    with scoped(server, "creator", scope=scope) as client:
        assert client.put(path).headers["s2-provision-result"] == "noop"
        assert code(client.put(path, json={"storage_class": "standard"})) == (403, "permission_denied")
        assert client.put(f"/v1/basins/{BASIN}").headers["s2-provision-result"] == "noop"
        changed = {"config": {"create_stream_on_read": True}}
        assert code(client.put(f"/v1/basins/{BASIN}", json=changed)) == (403, "permission_denied")


@pytest.mark.parametrize(
    ("given", "listed"),
    [
        ("2999-01-01T00:00:00.123456789Z", "2999-01-01T00:00:00.123456789Z"),
        ("2999-01-01T02:00:00.1234+02:00", "2999-01-01T00:00:00.1234Z"),
        ("2999-01-01T00:00:00.500000Z", "2999-01-01T00:00:00.5Z"),
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"),
    ],
)
def test_the_end_of_a_token_is_listed_as_it_was_given(http, given, listed):
    assert http.post("/v1/access-tokens", json={"id": given, "scope": ALL, "expires_at": given}).status_code == 201
    assert (
        http.get(f"/v1/access-tokens?prefix={given.replace('+', '%2B')}").json()["access_tokens"][0]["expires_at"]
        == listed
    )


def test_the_token_in_use_is_listed_and_stays(server):
    with server.client() as http:
        [own] = http.get("/v1/access-tokens?limit=1&prefix=la").json()["access_tokens"]
        assert own["id"] == "lab" and own["expires_at"] is None
        assert own["scope"]["op_groups"]["stream"] == {"read": True, "write": True}
        assert code(http.delete("/v1/access-tokens/lab")) == (403, "permission_denied")
        again = http.post("/v1/access-tokens", json={"id": "lab", "scope": ALL})
        assert code(again) == (409, "resource_already_exists")
        for id in ("laa", "lac", "lz"):
            assert http.post("/v1/access-tokens", json={"id": id, "scope": ALL}).status_code == 201
        page = http.get("/v1/access-tokens?prefix=l&start_after=laa&limit=2").json()
        assert [one["id"] for one in page["access_tokens"]] == ["lab", "lac"] and page["has_more"]
    scope = {"access_tokens": {"prefix": "own/"}, "ops": ["list-access-tokens"]}
    with scoped(server, "own/lister", scope=scope) as client:
        assert [one["id"] for one in client.get("/v1/access-tokens").json()["access_tokens"]] == ["own/lister"]


def test_words_about_a_scope_that_is_no_use(http):
    def said(**told):
        return http.post("/v1/access-tokens", json={"id": "t", **told}).json()

    for scope in ({}, {"ops": []}, {"op_groups": {"stream": {"read": False}}}):
        assert said(scope=scope) == {"code": "invalid", "message": "Access token permissions cannot be empty"}
    for streams in (None, {"exact": "a"}):
        told = said(scope={"ops": ["read"], "streams": streams}, auto_prefix_streams=True)
        message = "Auto prefixing is only allowed for streams with prefix matching"
        assert told == {"code": "invalid", "message": message}


@pytest.mark.parametrize("path", ["/v1/metrics?set=account-ops", f"/v1/metrics/{BASIN}?set=storage"])
def test_metrics_do_not_reach_ten_minutes_ahead(http, path):
    now = int(time.time())
    assert code(http.get(f"{path}&start={now - 3600}&end={now + 600}")) == (422, "invalid")
    assert http.get(f"{path}&start={now - 3600}&end={now + 60}").status_code == 200


@pytest.mark.parametrize("start", ["seq_num=0", "seq_num=2", "seq_num=99", "timestamp=99999999999999", "tail_offset=0"])
@pytest.mark.parametrize(
    "nothing", ["count=0", "bytes=0", "count=0&wait=5", "bytes=0&clamp=true", "count=0&until=999999999999999"]
)
def test_a_read_of_nothing_gives_nothing_at_once_wherever_it_starts(http, stream, start, nothing):
    assert http.post(stream, json={"records": [{"body": "a"}, {"body": "b"}]}).status_code == 200
    url, began = f"{stream}?{start}&{nothing}", time.monotonic()
    answer = http.get(url)
    assert (answer.status_code, answer.json()) == (200, {"records": []})
    answer = http.get(url, headers=S2S)
    assert (answer.status_code, answer.content) == (200, b"")
    answer = http.get(url, headers={"accept": "text/event-stream"})
    assert (answer.status_code, answer.text) == (200, "data: [DONE]\n\n")
    assert time.monotonic() - began < 4


def test_events_that_were_all_told_end_at_once(http, stream):
    http.post(stream, json={"records": [{"body": "a"}]})
    answer = http.get(f"{stream}?seq_num=0&count=1", headers={"accept": "text/event-stream", "last-event-id": "0,1,9"})
    assert (answer.status_code, answer.text) == (200, "data: [DONE]\n\n")
