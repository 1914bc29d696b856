"""The Amdahl Platform API: SQL over interactions, pages, agents, webhooks.

    from kit.amdahl import AmdahlClient, query_data

    client = AmdahlClient()        # reads AMDAHL_URL and API_KEY
    query_data(client, "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY channel")["rows"]

The functions take a blocking or an async client: with an `AsyncAmdahlClient` their result is awaited.

>>> import kit
>>> with kit.Lab("amdahl", join=False) as lab:
...     env = lab.env()
...     with AmdahlClient(env["AMDAHL_URL"], env["API_KEY"]) as client:
...         spec = {"type": "Section", "title": "Notes", "children": []}
...         page = create_page(client, {"name": "Notes", "spec": spec})
...         page = update_page(client, page["id"], {"name": "Our notes"})
...         print(get_page(client, page["id"])["name"], len(list_pages(client)["items"]), len(list(iter_pages(client))))
...         archive_page(client, page["id"])
...
...         hook = register_webhook(client, url="http://127.0.0.1:9/hook", events=["session.completed"])
...         hook = update_webhook(client, hook["id"], {"description": "for the notebook"})
...         print(list_webhooks(client)["items"][0]["description"])
...         delete_webhook(client, hook["id"])
...
...         state = start_agent(client, profile_id="researcher", task="Why?", input_params={"ask": True})
...         session = state["session_id"]
...         print(wait_for_agent(client, session, interval_s=0.1)["status"])
...         session = resume_agent(client, session, {"action": "continue"})["session_id"]
...         print([event["type"] for event in stream_agent(client, session)][-1])
...         print(get_agent_status(client, session)["status"] in TERMINAL)
...         print(query_data(client, "SELECT COUNT(*) AS n FROM interactions")["rows"])
Our notes 4 4
for the notebook
awaiting_input
session.completed
True
[{'n': 50000}]

The same, awaited:

>>> AsyncAmdahlClient("https://amdahl.example", api_key="amdhl_00")
<AsyncAmdahlClient at https://amdahl.example/api/platform/v1>
"""

from .client.agents import get_agent_status, resume_agent, start_agent, stream_agent, wait_for_agent
from .client.client import AmdahlClient, AsyncAmdahlClient
from .client.data import query_data
from .client.pages import archive_page, create_page, get_page, list_pages, update_page
from .client.paging import iter_pages
from .client.retrying import with_retry
from .client.webhooks import delete_webhook, list_webhooks, register_webhook, update_webhook, verify_webhook_signature
from .errors import AmdahlError
from .types import TERMINAL, AgentSession, Page, QueryResult, RateLimit, Webhook

__all__ = [
    "TERMINAL",
    "AgentSession",
    "AmdahlClient",
    "AmdahlError",
    "AsyncAmdahlClient",
    "Page",
    "QueryResult",
    "RateLimit",
    "Webhook",
    "archive_page",
    "create_page",
    "delete_webhook",
    "get_agent_status",
    "get_page",
    "iter_pages",
    "list_pages",
    "list_webhooks",
    "query_data",
    "register_webhook",
    "resume_agent",
    "start_agent",
    "stream_agent",
    "update_page",
    "update_webhook",
    "verify_webhook_signature",
    "wait_for_agent",
    "with_retry",
]

for _name in __all__:
    # So that tracebacks and help show the importable name.
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name
