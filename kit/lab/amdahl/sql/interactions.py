"""The table `interactions`: half a year of a made-up company's contacts with its customers.

All values are computed from the row's number in integer arithmetic, so each row is the same on every machine and with
every version of the engine. Contacts follow the office day and week and grow slowly; a few accounts are much larger
than the rest; and in one week of April something breaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from . import vocabulary as words

ROWS = 50_000
INCIDENT_ROWS = 1_150
TABLE = "interactions"

COLUMNS = (
    ("id", "VARCHAR", "Unique id of the interaction"),
    ("occurred_at", "TIMESTAMP", "When it took place, UTC"),
    ("channel", "VARCHAR", "How it reached us: email, call, chat, meeting, ticket or social"),
    ("kind", "VARCHAR", "What it was: question, request, complaint, praise, feedback, purchase, renewal, cancellation"),
    ("account_id", "VARCHAR", "Id of the customer's account"),
    ("account", "VARCHAR", "Name of the customer's account"),
    ("person", "VARCHAR", "Who spoke for the customer"),
    ("sentiment", "DOUBLE", "From -1 (angry) to 1 (delighted)"),
    ("amount", "DOUBLE", "Money involved, only for purchases and renewals"),
    ("currency", "VARCHAR", "Currency of the amount: EUR, USD or GBP"),
    ("duration_s", "BIGINT", "Seconds it lasted, only for calls, chats and meetings"),
    ("resolved", "BOOLEAN", "Whether nothing is left to do"),
    ("tags", "VARCHAR[]", "Topics and marks"),
    ("text", "VARCHAR", "A summary in one sentence"),
)

KNOWLEDGE = (
    {
        "title": "What one row is",
        "text": "Each row of `interactions` is one contact with a customer:"
        " a mail, a call, a chat, a meeting, a ticket or a post.",
    },
    {
        "title": "Sentiment",
        "text": "Sentiment runs from -1 to 1. Below -0.3 a person should look at it;"
        " complaints lie around -0.55, praise around 0.75.",
    },
    {
        "title": "Money",
        "text": "Amounts are in the account's own currency and are not converted."
        " Only purchases and renewals carry one.",
    },
    {
        "title": "Time",
        "text": "Times are UTC, from January to June 2026. Nights and weekends are quiet, so compare whole weeks.",
    },
)


def name_of_file(demo: bool) -> str:
    """Return the database's file; another name when the data would be other, so an old file is never taken for it."""
    return f"interactions-{hashlib.sha256(_rows(demo).encode()).hexdigest()[:12]}.duckdb"


def make(connection: Any, demo: bool) -> None:
    """Create the table, with its rows or, without demo data, empty."""
    connection.execute(f"create table {TABLE} ({', '.join(f'{name} {kind}' for name, kind, _ in COLUMNS)})")
    if demo:
        # A Lehmer generator with the bits folded in between: `draw(n, k)` is the k-th number of row n.
        connection.execute("create temp macro stir(x) as (xor(x, x >> 15) * 69621) % 2147483647")
        connection.execute("create temp macro draw(n, k) as stir(stir((n * 48271 + k * 1299709 + 7) % 2147483647))")
        connection.execute(f"insert into {TABLE} {_rows(demo)}")


def _rows(demo: bool) -> str:
    """Return the query for all rows, stage by stage; the letters are h hour, n row, a account, k kind, p person, t
    topic."""
    if not demo:
        return ""
    calm = ROWS - INCIDENT_ROWS
    office = _weighted("draw(n, 2)", words.CHANNELS, words.OFFICE_MIX)
    evening = _weighted("draw(n, 2)", words.CHANNELS, words.EVENING_MIX)
    kinds = _cases("channel", {c: _weighted("draw(n, 4)", words.KINDS, mix) for c, mix in words.KIND_MIX.items()})
    texts = _cases("kind", {kind: _picked("draw(n, 12)", texts) for kind, texts in words.TEXTS.items()})
    currency = _weighted("draw(a, 18)", ("EUR", "USD", "GBP"), (500, 350, 150))
    stem, trade = f"(a * 7) % {len(words.STEMS)}", f"(a * 3 + a // {len(words.STEMS)}) % {len(words.TRADES)}"
    names = ", ".join(name for name, _, _ in COLUMNS)
    return f"""
    with hours as (
        select h,
            {_listed(words.WEEKDAYS)}[(h // 24 + 3) % 7 + 1] * {_listed(words.HOURS)}[h % 24 + 1]
                * (1000 + 2 * (h // 24)) * (90 + draw(h // 24, 77) % 21)
                // (case when h < 24 then 4 else 1 end) as load,
            case when h between 102 * 24 + 8 and 109 * 24 - 1
                then {_listed(words.INCIDENT_DAYS)}[h // 24 - 101] * {_listed(words.HOURS)}[h % 24 + 1]
                else 0 end as broken
        from (select range as h from range(181 * 24))
    ), slots as (
        select h, load, broken,
            (sum(load) over (order by h) - load)::bigint as load_start,
            (sum(broken) over (order by h) - broken)::bigint as broken_start
        from hours
    ), totals as (
        select sum(load)::bigint as load, sum(broken)::bigint as broken from hours
    ), calm as (
        select range as i, ((2 * range + 1) * load) // {2 * calm} as at from range({calm}), totals
    ), storm as (
        select range as i, ((2 * range + 1) * broken) // {2 * INCIDENT_ROWS} as at from range({INCIDENT_ROWS}), totals
    ), drawn as (
        select i, h, false as incident
        from calm asof join (select h, load_start from slots where load > 0) s on calm.at >= s.load_start
        union all
        select {ROWS} + i, h, true
        from storm asof join (select h, broken_start from slots where broken > 0) s on storm.at >= s.broken_start
    ), timed as (
        select h, incident, h * 3600 + draw(i, 1) % 3600 as second, i from drawn
    ), numbered as (
        select h, incident, second, row_number() over (order by second, i) as n from timed
    ), channelled as (
        select *,
            case when incident then 'chat'
                when h % 24 between 7 and 18 and (h // 24 + 3) % 7 < 5 then {office}
                else {evening} end as channel,
            draw(n, 3) % 1000 as u
        from numbered
    ), kinded as (
        select *,
            case when incident then 'complaint' {kinds} end as kind,
            -- The cube of an even draw: a handful of accounts has most of the rows.
            (u * u * u * {len(words.STEMS) * len(words.TRADES)}) // 1000000000 as a
        from channelled
    ), placed as (
        select *, list_position({_listed(words.KINDS)}, kind) as k,
            {_listed(words.STEMS)}[{stem} + 1] || ' ' || {_listed(words.TRADES)}[{trade} + 1] as account,
            a * 31 + draw(n, 5) % (2 + draw(a, 6) % 6) as p,
            case when incident then 1 else draw(n, 7) % {len(words.TOPICS)} + 1 end as t,
            draw(n, 8) % 1000 as v, draw(n, 9) % 100 as w
        from kinded
    ), told as (
        select *,
            {_picked("draw(p, 10)", words.FIRST)} || ' ' || {_picked("draw(p, 11)", words.LAST)} as person,
            case when incident then {_picked("draw(n, 12)", words.INCIDENT_TEXTS)} {texts} end as template,
            -- Three draws together lie closer to their middle than one.
            {_listed(words.MOODS)}[k] + (draw(a, 13) % 161 - 80)
                + (draw(n, 14) % 301 + draw(n, 15) % 301 + draw(n, 16) % 301 - 450)
                - (case when incident then 150 else 0 end) as mood
        from placed
    ), finished as (
        select
            'int_' || lpad(n::varchar, 6, '0') as id,
            timestamp '2026-01-01 00:00:00' + to_seconds(second) as occurred_at,
            channel, kind,
            'acc_' || lpad((1000 + a)::varchar, 4, '0') as account_id, account, person,
            greatest(-1000, least(1000, mood)) / 1000.0::double as sentiment,
            (case kind when 'purchase' then 9000 + v * v * 48 // 100 + draw(n, 17) % 5000
                when 'renewal' then 120000 + v * v * 9 + draw(n, 17) % 90000 end) / 100.0::double as amount,
            case when kind in ('purchase', 'renewal') then {currency} end as currency,
            case channel when 'call' then 45 + v * v * 2400 // 1000000
                when 'chat' then 40 + v * v * 1500 // 1000000
                when 'meeting' then 900 * (1 + v * 5 // 1000) + draw(n, 19) % 300 end as duration_s,
            w < {_listed(words.RESOLVED)}[k] - (case when incident then 38 else 0 end)
                - (case when h // 24 >= 174 then 25 else 0 end) as resolved,
            [tag for tag in [
                case when incident or draw(n, 20) % 10 < 7 then {_listed(words.TOPIC_TAGS)}[t] end,
                case when incident and draw(n, 21) % 10 < 6 then 'outage' end,
                case when a < 6 then 'key-account' end,
                case when draw(n, 22) % 100 < 12 then 'follow-up' end
            ] if tag is not null] as tags,
            replace(replace(replace(template,
                '{{person}}', person), '{{account}}', account), '{{topic}}', {_listed(words.TOPICS)}[t]) as text,
            n
        from told
    )
    select {names} from finished order by n
    """  # noqa: S608


def _listed(values: Sequence[int | str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(value: int | str) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _weighted(draw: str, values: Sequence[str], weights: Sequence[int]) -> str:
    """Return an expression that chooses among values, so often as their weights of a thousand say."""
    assert sum(weights) == 1000, weights
    cases, below = "", 0
    for value, weight in zip(values, weights, strict=True):
        below += weight
        if weight:
            cases += f" when {draw} % 1000 < {below} then {_quoted(value)}"
    return f"(case{cases} end)"


def _picked(draw: str, values: Sequence[str]) -> str:
    return f"{_listed(values)}[{draw} % {len(values)} + 1]"


def _cases(column: str, expressions: dict[str, str]) -> str:
    return " ".join(f"when {column} = {_quoted(value)} then {expression}" for value, expression in expressions.items())
