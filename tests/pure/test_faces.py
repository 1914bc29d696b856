"""Verbs of clients look and behave like the methods of a plain class, on the class as well as on a client."""

import asyncio
import inspect
import pydoc
from unittest.mock import AsyncMock, MagicMock

import pytest

from kit.amdahl import AmdahlClient, AsyncAmdahlClient
from kit.claude import AsyncClaudeClient, ClaudeClient
from kit.core.faces import AsyncFace, verb, walk
from kit.kimberlite import AsyncClient, Client
from kit.s2 import S2, S2Basin, S2ClientError, S2Stream, SyncS2
from kit.s2.client.basin import SyncS2Basin
from kit.s2.client.stream import SyncS2Stream
from kit.synap import AsyncSynapClient, SynapClient
from kit.synap.client.kv import AsyncKV, SyncKV

CLIENTS = [
    *(S2, SyncS2, S2Basin, SyncS2Basin, S2Stream, SyncS2Stream, Client, AsyncClient),
    *(SynapClient, AsyncSynapClient, SyncKV, AsyncKV, ClaudeClient, AsyncClaudeClient, AmdahlClient, AsyncAmdahlClient),
]


def verbs(client):
    """The names of a class's verbs, and whether each emits items."""
    for name in dir(client):
        for kind in client.__mro__:
            if isinstance(kind.__dict__.get(name), verb | walk):
                yield name, isinstance(kind.__dict__[name], walk)
                break


@pytest.mark.parametrize("client", CLIENTS, ids=lambda kind: kind.__name__)
def test_verbs_are_functions_of_their_colour(client):
    found = list(verbs(client))
    assert found
    colour = issubclass(client, AsyncFace)
    page = pydoc.render_doc(client, renderer=pydoc.plaintext)
    for name, emits in found:
        function = getattr(client, name)
        assert inspect.isfunction(function)
        assert next(iter(inspect.signature(function).parameters)) == "self"
        assert inspect.iscoroutinefunction(function) == (colour and not emits)
        result = str(inspect.signature(function).return_annotation)
        assert not result.startswith(("Operation", "Walk"))
        if emits:
            assert result.startswith("AsyncIterator" if colour else "Iterator")
        assert f"{name}(self" in page


def test_a_double_made_after_a_client_awaits_what_the_client_does():
    assert isinstance(MagicMock(spec=S2).create_basin, AsyncMock)
    assert not isinstance(MagicMock(spec=SyncS2).create_basin, AsyncMock)


def test_a_verb_of_the_class_takes_the_client_first():
    async def main():
        client = S2("token")
        assert inspect.iscoroutinefunction(client.create_basin)
        with pytest.raises(S2ClientError, match="8 to 48"):
            await S2.create_basin(client, "x")
        await client.close()

    asyncio.run(main())
    with SyncS2("token") as client, pytest.raises(S2ClientError, match="8 to 48"):
        SyncS2.create_basin(client, "x")
