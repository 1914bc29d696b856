"""The table `interactions`: half a year of a made-up company's contacts with its customers.

Everything comes from whole-number arithmetic on the row's number, so each row is the same on every machine and with
every version of the engine. Work follows the office day and week and grows slowly; a few accounts are much larger than
the rest; and in one week of April something breaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

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
        "text": "Each row of `interactions` is one contact with a customer: a mail, a call, a chat, a meeting, a ticket or a post.",
    },
    {
        "title": "Sentiment",
        "text": "Sentiment runs from -1 to 1. Below -0.3 somebody should look at it; complaints lie around -0.55, praise around 0.75.",
    },
    {
        "title": "Money",
        "text": "Amounts are in the account's own currency and are not converted. Only purchases and renewals carry one.",
    },
    {
        "title": "Time",
        "text": "Times are UTC, from January to June 2026. Nights and weekends are quiet, so compare whole weeks.",
    },
)

_WEEKDAYS = (120, 125, 118, 112, 90, 28, 22)
_HOURS = (2, 1, 1, 1, 2, 4, 9, 22, 48, 72, 80, 76, 58, 66, 78, 74, 64, 46, 26, 16, 11, 8, 5, 3)
_INCIDENT_DAYS = (100, 130, 115, 70, 40, 12, 6)
_CHANNELS = ("email", "call", "chat", "meeting", "ticket", "social")
_OFFICE_MIX = (340, 200, 240, 80, 100, 40)
_EVENING_MIX = (420, 30, 300, 0, 110, 140)
_KINDS = ("question", "request", "complaint", "praise", "feedback", "purchase", "renewal", "cancellation")
_KIND_MIX = {
    "email": (300, 220, 150, 70, 100, 60, 70, 30),
    "call": (260, 200, 220, 40, 80, 90, 80, 30),
    "chat": (420, 180, 160, 80, 110, 30, 10, 10),
    "meeting": (120, 200, 40, 90, 230, 110, 180, 30),
    "ticket": (250, 380, 280, 10, 70, 0, 0, 10),
    "social": (220, 60, 260, 320, 130, 0, 0, 10),
}
_MOODS = (40, 70, -550, 740, 130, 420, 370, -480)
_RESOLVED = (93, 86, 72, 99, 96, 99, 98, 84)
_STEMS = (
    "Velmora", "Tarnwick", "Ostrelle", "Kelbrock", "Junivale", "Pellister", "Quorrin", "Sundrell", "Brenholt", "Caldessa",
    "Dovanti", "Eskarra", "Fenlocke", "Grellow", "Halvorne", "Imberton", "Larkmere", "Mossgrave", "Norrivale", "Zephrane",
)  # fmt: skip
_TRADES = ("Logistics", "Foods", "Dental", "Textiles", "Robotics", "Travel", "Energy", "Instruments")
_FIRST = (
    "Ada", "Bruno", "Carla", "Dmitri", "Elena", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kavya", "Leon", "Mara", "Nils",
    "Olive", "Pablo", "Rosa", "Sami", "Tessa", "Umar", "Vera", "Wanda", "Yusuf", "Zoe",
)  # fmt: skip
_LAST = (
    "Abelson", "Brandvik", "Castellan", "Drummer", "Eriksdal", "Fontaneau", "Grunwick", "Halloran", "Ivarsen", "Jankovic",
    "Kestrel", "Lindqvale", "Moreno", "Nakagami", "Okonjo", "Petrescu", "Quillfeather", "Rosmarin", "Stellwag", "Tamboril",
)  # fmt: skip
_TOPICS = (
    "the export", "billing", "the login", "the dashboard", "the integration", "the mobile app", "user permissions",
    "the monthly report", "delivery times", "onboarding",
)  # fmt: skip
_TOPIC_TAGS = (
    "export", "billing", "login", "dashboard", "integration", "mobile", "permissions", "reports", "delivery", "onboarding",
)  # fmt: skip
_TEXTS = {
    "question": (
        "{person} asks how {topic} works for a larger team.",
        "{person} wants to know whether {topic} can be scheduled.",
        "{person} from {account} asks where to find the settings for {topic}.",
        "{person} asks if {topic} is part of the current plan.",
        "{person} would like an example for {topic}.",
    ),
    "request": (
        "{person} requests a change to {topic} before the end of the month.",
        "{person} asks for a second approver on {topic}.",
        "{account} needs {topic} in two more languages.",
        "{person} asks us to set up {topic} for a new site.",
        "{person} requests a call back about {topic}.",
    ),
    "complaint": (
        "{person} reports that {topic} has been slow since yesterday.",
        "{person} is unhappy with {topic} and expects an answer today.",
        "{account} cannot use {topic}, an error appears each time.",
        "{person} has written twice about {topic} without a reply.",
        "{person} says {topic} shows different figures than last week.",
    ),
    "praise": (
        "{person} says {topic} saves the team hours each week.",
        "{person} thanks support for the quick help with {topic}.",
        "{account} is very happy with {topic}.",
        "{person} recommends us because of {topic}.",
    ),
    "feedback": (
        "{person} suggests a shortcut for {topic}.",
        "{person} finds {topic} good, but would like more filters.",
        "{account} shares notes from a workshop about {topic}.",
        "{person} compares {topic} with the tool used before.",
    ),
    "purchase": (
        "{person} orders additional seats and asks about {topic}.",
        "{account} buys the add-on for {topic}.",
        "{person} confirms the order after a demo of {topic}.",
    ),
    "renewal": (
        "{person} renews the contract for another year.",
        "{account} extends the agreement, with {topic} included.",
        "{person} agrees to the renewal after a talk about {topic}.",
    ),
    "cancellation": (
        "{person} cancels a part of the contract because of {topic}.",
        "{account} gives notice and names {topic} as the reason.",
        "{person} wants to end the trial.",
    ),
}
_INCIDENT_TEXTS = (
    "{person} reports that the export fails since Monday's update.",
    "{person} gets an empty file from every export.",
    "{account} cannot export at all and has a deadline this week.",
    "{person} asks for the third time when the export will work again.",
    "{person} sees the message E-4410 on each export.",
)


def name_of_file(demo: bool) -> str:
    """The database's file; another name when the data would be other, so an old file is never taken for it."""
    return f"interactions-{hashlib.sha256(_rows(demo).encode()).hexdigest()[:12]}.duckdb"


def make(connection: Any, demo: bool) -> None:
    """Creates the table, with its rows or, without demo data, empty."""
    connection.execute(
        f"create table {TABLE} ({', '.join(f'{name} {kind}' for name, kind, _ in COLUMNS)})"  # noqa: S608
    )
    if demo:
        # A Lehmer generator with the bits folded in between: `draw(n, k)` is the k-th number of row n.
        connection.execute("create temp macro stir(x) as (xor(x, x >> 15) * 69621) % 2147483647")
        connection.execute("create temp macro draw(n, k) as stir(stir((n * 48271 + k * 1299709 + 7) % 2147483647))")
        connection.execute(f"insert into {TABLE} {_rows(demo)}")


def _rows(demo: bool) -> str:
    if not demo:
        return ""
    names = ", ".join(name for name, _, _ in COLUMNS)
    return f"""
    with hours as (
        select h,
            {_listed(_WEEKDAYS)}[(h // 24 + 3) % 7 + 1] * {_listed(_HOURS)}[h % 24 + 1] * (1000 + 2 * (h // 24))
                * (90 + draw(h // 24, 77) % 21) // (case when h < 24 then 4 else 1 end) as load,
            case when h // 24 between 102 and 108 and h >= 102 * 24 + 8
                then {_listed(_INCIDENT_DAYS)}[h // 24 - 101] * {_listed(_HOURS)}[h % 24 + 1] else 0 end as broken
        from (select range as h from range(181 * 24))
    ), slots as (
        select h, load, broken, sum(load) over (order by h) - load as load_start, sum(broken) over (order by h) - broken as broken_start
        from hours
    ), totals as (
        select sum(load)::bigint as load, sum(broken)::bigint as broken from hours
    ), drawn as (
        select i, h, false as incident
        from (select range as i, ((2 * range + 1) * load) // {2 * (ROWS - INCIDENT_ROWS)} as at from range({ROWS - INCIDENT_ROWS}), totals) r
        asof join (select h, load_start::bigint as start from slots where load > 0) s on r.at >= s.start
        union all
        select {ROWS} + i, h, true
        from (select range as i, ((2 * range + 1) * broken) // {2 * INCIDENT_ROWS} as at from range({INCIDENT_ROWS}), totals) r
        asof join (select h, broken_start::bigint as start from slots where broken > 0) s on r.at >= s.start
    ), timed as (
        select h, incident, h * 3600 + draw(i, 1) % 3600 as second, i from drawn
    ), numbered as (
        select h, incident, second, row_number() over (order by second, i) as n from timed
    ), channelled as (
        select *,
            case when incident then 'chat'
                when h % 24 between 7 and 18 and (h // 24 + 3) % 7 < 5 then {_weighted("draw(n, 2)", _CHANNELS, _OFFICE_MIX)}
                else {_weighted("draw(n, 2)", _CHANNELS, _EVENING_MIX)} end as channel,
            draw(n, 3) % 1000 as u
        from numbered
    ), kinded as (
        select *,
            case when incident then 'complaint' {_cases("channel", _KIND_MIX, lambda mix: _weighted("draw(n, 4)", _KINDS, mix))} end as kind,
            -- The cube of an even draw: a handful of accounts has most of the rows.
            (u * u * u * {len(_STEMS) * len(_TRADES)}) // 1000000000 as a
        from channelled
    ), placed as (
        select *, list_position({_listed(_KINDS)}, kind) as k,
            {_listed(_STEMS)}[(a * 7) % {len(_STEMS)} + 1] || ' ' || {_listed(_TRADES)}[(a * 3 + a // {len(_STEMS)}) % {len(_TRADES)} + 1] as account,
            a * 31 + draw(n, 5) % (2 + draw(a, 6) % 6) as p,
            case when incident then 1 else draw(n, 7) % {len(_TOPICS)} + 1 end as t,
            draw(n, 8) % 1000 as v, draw(n, 9) % 100 as w
        from kinded
    ), told as (
        select *,
            {_listed(_FIRST)}[draw(p, 10) % {len(_FIRST)} + 1] || ' ' || {_listed(_LAST)}[draw(p, 11) % {len(_LAST)} + 1] as person,
            case when incident then {_picked("draw(n, 12)", _INCIDENT_TEXTS)} {_cases("kind", _TEXTS, lambda texts: _picked("draw(n, 12)", texts))} end as template,
            -- Three draws together lie closer to their middle than one.
            {_listed(_MOODS)}[k] + (draw(a, 13) % 161 - 80) + (draw(n, 14) % 301 + draw(n, 15) % 301 + draw(n, 16) % 301 - 450)
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
            case when kind in ('purchase', 'renewal') then {_weighted("draw(a, 18)", ("EUR", "USD", "GBP"), (500, 350, 150))} end as currency,
            case channel when 'call' then 45 + v * v * 2400 // 1000000 when 'chat' then 40 + v * v * 1500 // 1000000
                when 'meeting' then 900 * (1 + v * 5 // 1000) + draw(n, 19) % 300 end as duration_s,
            w < {_listed(_RESOLVED)}[k] - (case when incident then 38 else 0 end) - (case when h // 24 >= 174 then 25 else 0 end) as resolved,
            [tag for tag in [
                case when incident or draw(n, 20) % 10 < 7 then {_listed(_TOPIC_TAGS)}[t] end,
                case when incident and draw(n, 21) % 10 < 6 then 'outage' end,
                case when a < 6 then 'key-account' end,
                case when draw(n, 22) % 100 < 12 then 'follow-up' end
            ] if tag is not null] as tags,
            replace(replace(replace(template, '{{person}}', person), '{{account}}', account), '{{topic}}', {_listed(_TOPICS)}[t]) as text,
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
    """An expression that chooses among values, so often as their weights of a thousand say."""
    assert sum(weights) == 1000, weights
    cases, below = "", 0
    for value, weight in zip(values, weights, strict=True):
        below += weight
        if weight:
            cases += f" when {draw} % 1000 < {below} then {_quoted(value)}"
    return f"(case{cases} end)"


def _picked(draw: str, values: Sequence[str]) -> str:
    return f"{_listed(values)}[{draw} % {len(values)} + 1]"


def _cases(column: str, choices: dict[str, Any], expression: Any) -> str:
    return " ".join(f"when {column} = {_quoted(value)} then {expression(choice)}" for value, choice in choices.items())
