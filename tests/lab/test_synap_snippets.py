"""What the reference shows, as it shows it: only the import line, the address and the credential are others."""

import asyncio
import gc
import os
import re
import threading
from pathlib import Path

import pytest

from kit.synap import AsyncSynapClient, SynapClient, SynapError

from .synaplite import SynapLab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def synap(tmp_path_factory):
    lab = SynapLab(tmp_path_factory.mktemp("synap"))
    yield lab
    lab.close()


@pytest.fixture(params=["http", "synap"])
def url(request, synap):
    return synap.url if request.param == "http" else synap.rpc_url


@pytest.fixture
def client(synap, url):
    with SynapClient(url, api_key=synap.key) as client:
        yield client


@pytest.mark.filterwarnings("ignore:over synap")
def test_quick_start(client):
    client.kv.set("user:1", "John Doe", ttl=3600)
    value = client.kv.get("user:1")
    assert value == "John Doe"
    client.kv.delete("user:1")
    client.queue.create("jobs", max_depth=1000)
    client.queue.publish("jobs", b"Hello", priority=5)
    message = client.queue.consume("jobs", "worker-1")
    assert message.payload == b"Hello"
    client.queue.ack("jobs", message.message_id)


def test_authentication(synap):
    client = SynapClient(synap.url, api_key=synap.key)
    assert client.kv.exists("key") in (True, False)
    client.close()
    client = SynapClient(synap.url, username="root", password=synap.key)
    assert client.kv.exists("key") in (True, False)
    client.close()


def test_values(client):
    client.kv.set("key", "value")
    client.kv.set("key", "value", ttl=3600)
    assert client.kv.get("key") == "value"
    client.kv.delete("key")
    assert client.kv.exists("key") is False
    client.kv.mset([("key1", "value1"), ("key2", "value2"), ("key3", "value3")])
    assert client.kv.mget(["key1", "key2", "key3"]) == ["value1", "value2", "value3"]
    client.kv.delete("counter")
    assert client.kv.incr("counter") == 1
    assert client.kv.incrby("counter", 5) == 6
    assert client.kv.decr("counter") == 5
    assert client.kv.decrby("counter", 3) == 2


@pytest.mark.filterwarnings("ignore:over synap")
def test_queues(client):
    client.queue.create("jobs", max_depth=1000, ack_deadline_secs=30)
    assert "jobs" in client.queue.list()
    before = client.queue.stats("jobs")
    client.queue.publish("jobs", b"Hello", priority=5)
    client.queue.publish("jobs", b"Hello", priority=5, max_retries=3)
    message = client.queue.consume("jobs", "worker-1")
    assert message.payload == b"Hello"
    client.queue.ack("jobs", message.message_id)
    message = client.queue.consume("jobs", "worker-1")
    client.queue.nack("jobs", message.message_id)
    message = client.queue.consume("jobs", "worker-1")
    client.queue.ack("jobs", message.message_id)
    assert client.queue.stats("jobs")["published"] == before["published"] + 2


def test_streams(client, capsys):
    client.stream.create("notifications", partitions=1, retention_hours=24)
    assert "notifications" in client.stream.list()
    assert client.stream.stats("notifications")["name"] == "notifications"
    client.stream.publish("notifications", "user.signup", "New user registered")
    events = client.stream.consume("notifications", "user-1", from_offset=0, limit=10)
    for event in events:
        print(f"Event: {event.event}, Data: {event.data}")
    assert capsys.readouterr().out.startswith("Event: user.signup, Data: New user registered\n")


def test_topics(synap, url, client, capsys):
    client.pubsub.publish("notifications.email", "New order received")

    async def subscribe():
        client = SynapClient(url, api_key=synap.key)

        async for message in client.pubsub.subscribe(["notifications.email"]):
            print(f"Topic: {message.topic}, Message: {message.message}")
            break

    async def main():
        subscribing = asyncio.ensure_future(subscribe())
        while not subscribing.done():
            client.pubsub.publish("notifications.email", "New order received")
            await asyncio.wait([subscribing], timeout=0.01)

    asyncio.run(main())
    assert capsys.readouterr().out == "Topic: notifications.email, Message: New order received\n"


def test_errors(client, capsys):
    try:
        client.queue.stats("no such queue")
    except SynapError as e:
        print(f"Error: {e.message}, Code: {e.status_code}")
    assert capsys.readouterr().out == "Error: Queue not found: no such queue, Code: 404\n"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_async(synap, url, capsys):
    async def main():
        client = AsyncSynapClient(url, api_key=synap.key)

        await client.kv.set("key", "value")
        value = await client.kv.get("key")
        print(value)

    asyncio.run(main())
    assert capsys.readouterr().out == "value\n"
    gc.collect()  # the guide closes nothing; what that leaves is nobody else's


# --- the guide itself, where it is beside the checkout --------------------------------------------------------------

GUIDES = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("001_*.txt"))


@pytest.mark.skipif(not GUIDES, reason="the reference is not beside this checkout (shared/seeds)")
@pytest.mark.filterwarnings(
    "ignore:over synap",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_the_guide_word_for_word(synap, url, capsys, monkeypatch):
    """Only the import line and the address are others, and the placeholders of credentials."""
    snippets = re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL)
    assert len(snippets) == 16
    for name, value in synap.server.env().items():
        monkeypatch.setenv(name, value)
    own = {
        "from synap_sdk import": "from kit.synap import",
        "http://localhost:15500": url,
        "sk_live_abc123...": synap.key,
        '"admin"': repr(os.environ["SYNAP_USERNAME"]),
        '"password"': repr(os.environ["SYNAP_PASSWORD"]),
        # It would go on for ever; one message is enough here.
        'Message: {message.message}")': 'Message: {message.message}"); break',
        # One or the other: a message that was acknowledged cannot be rejected any more.
        "# Or reject": 'message = client.queue.consume("jobs", "worker-2")',
    }
    scope = {"process": print}
    for snippet in snippets:
        for theirs, ours in own.items():
            snippet = snippet.replace(theirs, ours)
        if "async for" in snippet:
            talking = threading.Event()
            talker = threading.Thread(target=talk, args=(synap, talking))
            talker.start()
        before = scope.get("client")
        exec(snippet, scope)
        if "async for" in snippet:
            talking.set()
            talker.join()
        if before is not None and before is not scope["client"]:
            before.close()
    scope["client"].close()
    assert "Message: New order received" in capsys.readouterr().out
    gc.collect()


def talk(synap, stop):
    with SynapClient(synap.url, api_key=synap.key) as client:
        while not stop.wait(0.01):
            client.pubsub.publish("notifications.email", "New order received")
