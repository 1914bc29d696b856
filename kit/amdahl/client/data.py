"""Read-only SQL over the `interactions` table."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from ...core.faces import helper
from ...core.http.operations import Operation, pour
from ..errors import AmdahlError, AmdahlInputError
from ..types import QueryResult
from ..wire import json_messages as wire
from ..wire.results import Result, ResultReader
from .exchange import PATIENT, exchange


@helper
def query_data(client: Any, sql: str, limit: int | None = None) -> Operation[QueryResult]:
    """Return the rows of a SELECT as a list of dicts, with `rowCount` and whether they were `truncated`."""
    body = {"sql": sql} if limit is None else {"sql": sql, "limit": limit}
    result = wire.judge((yield from exchange(client, "POST", "/data/query", body, op="query_data")))
    if isinstance(result, dict) and isinstance(result.get("error"), str) and "rows" not in result:
        raise AmdahlError(200, str(result.get("code") or "invalid_argument"), result["error"], result)
    return cast(QueryResult, result)


def query_columns(client: Any, sql: str, limit: int | None = None) -> Operation[Result]:
    """Return the same in columns. A SELECT changes nothing, so it is repeated where the service is short of breath."""
    if not isinstance(sql, str) or not sql.strip():
        raise AmdahlInputError(
            "the query is empty", hint="for example: select channel, count(*) from interactions group by 1"
        )
    if limit is not None and limit < 1:
        raise AmdahlInputError(f"limit={limit}: ask for at least one row")
    body = {"sql": sql} if limit is None else {"sql": sql, "limit": limit}
    reader = ResultReader()
    try:
        response = yield from exchange(
            client, "POST", "/data/query", body, op="query", policy=PATIENT, safe=True, attempt=partial(pour, reader)
        )
        if not response.ok:
            wire.judge(response)
        return reader.finish(response)
    finally:
        reader.close()
