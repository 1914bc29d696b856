"""Synap: values by key, queues of messages, rooms of events, and topics.

>>> from kit.synap import AsyncSynapClient, SynapClient, SynapError
>>> import kit
>>> with kit.Lab("synap", join=False) as lab:
...     with SynapClient(lab.env()["SYNAP_URL"], api_key=lab.env()["SYNAP_API_KEY"]) as client:
...         print(client.kv.set("greeting", "Hello", ttl=3600), client.kv.get("greeting"), client.kv.incr("visits"))
...         print(client.queue.create("docs"), client.queue.publish("docs", b"work", priority=9) != "")
...         message = client.queue.consume("docs", "worker")
...         print(message.payload, client.queue.ack("docs", message.message_id))
...         print(client.stream.create("notes"), client.stream.publish("notes", "added", {"n": 1}))
...         print([event.data for event in client.stream.consume("notes", "reader", from_offset=0)])
...         try:
...             client.queue.stats("nothing")
...         except SynapError as error:
...             print(error.status_code)
True Hello 1
True True
b'work' True
True 0
[{'n': 1}]
404
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client.client import AsyncSynapClient, SynapClient
    from .client.subscription import Subscription
    from .errors import SynapError, SynapInputError, SynapTimeoutError, SynapTransportError, SynapWireError
    from .types import QueueMessage, Stats, StreamEvent, TopicMessage

# The client loads on first use.
_WHERE = {
    "AsyncSynapClient": "client.client",
    "QueueMessage": "types",
    "Stats": "types",
    "StreamEvent": "types",
    "Subscription": "client.subscription",
    "SynapClient": "client.client",
    "SynapError": "errors",
    "SynapInputError": "errors",
    "SynapTimeoutError": "errors",
    "SynapTransportError": "errors",
    "SynapWireError": "errors",
    "TopicMessage": "types",
}

__all__ = [
    "AsyncSynapClient",
    "QueueMessage",
    "Stats",
    "StreamEvent",
    "Subscription",
    "SynapClient",
    "SynapError",
    "SynapInputError",
    "SynapTimeoutError",
    "SynapTransportError",
    "SynapWireError",
    "TopicMessage",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        import difflib

        near = difflib.get_close_matches(name, __all__, n=1)
        raise AttributeError(f"kit.synap has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
