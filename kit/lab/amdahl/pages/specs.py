"""Validating a page before it is stored: its shape, then its components, then its queries.

A stage is reached only if the one before it passed; the verdict lists all issues of the stage that failed.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..answers import Refusal, compact
from ..fields import kind_of
from ..sql.sandbox import Sandbox

MAX_DEPTH, MAX_NODES, MAX_BYTES, MAX_QUERIES = 32, 1000, 256 * 1024, 50
STAGES = ("shape", "components", "queries")


@dataclass(frozen=True, slots=True)
class Component:
    """The properties of a component in the catalog."""

    children: bool = False
    data: bool = False
    """Whether it must have `data`, from a query or inline."""
    texts: tuple[str, ...] = ()
    """Required properties, which are strings."""


CATALOG = {
    "Section": Component(children=True),
    "Columns": Component(children=True),
    "Tabs": Component(children=True),
    "Card": Component(children=True),
    "Table": Component(data=True),
    "Chart": Component(data=True),
    "Metric": Component(data=True),
    "List": Component(data=True),
    "Text": Component(texts=("text",)),
    "Heading": Component(texts=("text",)),
    "Divider": Component(),
}
CHARTS = ("line", "bar", "area", "pie", "scatter")


@dataclass(frozen=True, slots=True)
class Issue:
    path: str
    message: str


async def judge(spec: Any, queries: Any, sandbox: Sandbox) -> None:
    """Refuse a page whose spec or queries are broken, with a verdict for each stage."""
    issues = shape_issues(spec, queries)
    failed = STAGES[0]
    if not issues:
        failed, issues = STAGES[1], component_issues(spec)
    if not issues:
        failed, issues = STAGES[2], await _query_issues(spec, queries, sandbox)
    if not issues:
        return
    stages = []
    for stage in STAGES:
        reached = STAGES.index(stage) <= STAGES.index(failed)
        listed = [{"path": issue.path, "message": issue.message} for issue in issues] if stage == failed else []
        stages.append({"stage": stage, "ok": stage != failed if reached else None, "issues": listed})
    first = issues[0]
    more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
    raise Refusal(400, f"{first.path}: {first.message}{more}", details={"field": first.path, "stages": stages})


def shape_issues(spec: Any, queries: Any) -> list[Issue]:
    """Return what keeps it from being a tree of components with a list of queries.

    >>> shape_issues({"type": "Section", "children": {}}, [])
    [Issue(path='spec.children', message='must be an array, not an object')]
    """
    issues = []
    if len(compact([spec, queries])) > MAX_BYTES:
        return [Issue("spec", f"spec and queries are larger than {MAX_BYTES // 1024} KiB")]
    waiting: list[tuple[str, Any, int]] = [("spec", spec, 1)]
    count = 0
    while waiting:
        path, node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            return [Issue("spec", f"more than {MAX_NODES} components, or nested deeper than {MAX_DEPTH}")]
        if not isinstance(node, dict):
            issues.append(Issue(path, f"must be an object, not {kind_of(node)}"))
            continue
        if not isinstance(node.get("type"), str):
            issues.append(Issue(f"{path}.type", "missing, or not a string"))
        children = node.get("children", [])
        if isinstance(children, list):
            waiting += [(f"{path}.children[{n}]", child, depth + 1) for n, child in reversed([*enumerate(children)])]
        else:
            issues.append(Issue(f"{path}.children", f"must be an array, not {kind_of(children)}"))
    return issues + _declared_issues(queries)


def _declared_issues(queries: Any) -> list[Issue]:
    if not isinstance(queries, list):
        return [Issue("declared_queries", f"must be an array, not {kind_of(queries)}")]
    if len(queries) > MAX_QUERIES:
        return [Issue("declared_queries", f"more than {MAX_QUERIES} queries")]
    issues, names = [], set()
    for n, query in enumerate(queries):
        path = f"declared_queries[{n}]"
        if not isinstance(query, dict):
            issues.append(Issue(path, f"must be an object, not {kind_of(query)}"))
            continue
        for key in ("name", "sql"):
            if not isinstance(query.get(key), str) or not query[key].strip():
                issues.append(Issue(f"{path}.{key}", "missing, or not a string"))
        name = query.get("name")
        if isinstance(name, str) and name in names:
            issues.append(Issue(f"{path}.name", f"{name[:80]!r} is declared twice"))
        names.add(str(name))
    return issues


def component_issues(spec: dict[str, Any]) -> list[Issue]:
    """Return components that are not in the catalog, or lack what they need.

    >>> component_issues({"type": "Tabel"})
    [Issue(path='spec.type', message="no component is called 'Tabel'; did you mean Table?")]
    """
    issues = []
    for path, node in _nodes("spec", spec):
        component = CATALOG.get(node["type"])
        if component is None:
            near = difflib.get_close_matches(node["type"], CATALOG, n=1)
            known = f"did you mean {near[0]}?" if near else f"there are {', '.join(CATALOG)}"
            issues.append(Issue(f"{path}.type", f"no component is called {node['type'][:80]!r}; {known}"))
            continue
        if node.get("children") and not component.children:
            issues.append(Issue(f"{path}.children", f"a {node['type']} has no children"))
        if component.data and not isinstance(node.get("data"), dict | list):
            issues.append(Issue(f"{path}.data", f'a {node["type"]} needs data, such as {{"$query": "<name>"}}'))
        issues += [
            Issue(f"{path}.{name}", f"a {node['type']} needs it, as a string")
            for name in component.texts
            if not isinstance(node.get(name), str)
        ]
        if "title" in node and not isinstance(node["title"], str):
            issues.append(Issue(f"{path}.title", f"must be a string, not {kind_of(node['title'])}"))
        if node["type"] == "Chart" and node.get("kind", "line") not in CHARTS:
            issues.append(Issue(f"{path}.kind", f"must be one of {', '.join(CHARTS)}"))
    return issues


async def _query_issues(spec: dict[str, Any], queries: list[dict[str, str]], sandbox: Sandbox) -> list[Issue]:
    names = [query["name"] for query in queries]
    issues = []
    for path, reference in _asked("spec", spec):
        if not isinstance(reference, str):
            issues.append(Issue(path, f"must be the name of a query, not {kind_of(reference)}"))
        elif reference not in names:
            near = difflib.get_close_matches(reference, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            issues.append(Issue(path, f"no declared query is called {reference[:80]!r}{hint}"))
    verdicts = await asyncio.gather(*(sandbox.check(query["sql"]) for query in queries))
    for n, verdict in enumerate(verdicts):
        if verdict is not None:
            issues.append(Issue(f"declared_queries[{n}].sql", verdict))
    return issues


def _nodes(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for n, child in enumerate(node.get("children", [])):
        yield from _nodes(f"{path}.children[{n}]", child)


def _asked(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return every `$query`, wherever it stands."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(f"{path}[{n}]", item) for n, item in enumerate(value)]
        elif isinstance(value, dict):
            if "$query" in value:
                yield f"{path}.$query", value["$query"]
            waiting += [(f"{path}.{key}", item) for key, item in value.items()]
