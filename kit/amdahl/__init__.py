"""The Amdahl Platform API: SQL over interactions, pages, agents, webhooks.

    from kit.amdahl import AmdahlClient, query_data

    client = AmdahlClient()        # reads AMDAHL_URL and API_KEY
    query_data(client, "SELECT channel, COUNT(*) AS events FROM interactions GROUP BY channel")["rows"]

The functions take a client of either colour: with an `AsyncAmdahlClient` their result is awaited.
"""

from .agents import get_agent_status, resume_agent, start_agent, stream_agent, wait_for_agent
from .client import AmdahlClient, AsyncAmdahlClient
from .data import query_data
from .errors import AmdahlError
from .pages import archive_page, create_page, get_page, list_pages, update_page
from .paging import iter_pages
from .retrying import with_retry
from .types import TERMINAL, AgentSession, Page, QueryResult, RateLimit, Webhook
from .webhooks import delete_webhook, list_webhooks, register_webhook, update_webhook, verify_webhook_signature

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
    # Tracebacks and help show the name that can be imported.
    if hasattr(globals()[_name], "__module__"):
        globals()[_name].__module__ = __name__
del _name
