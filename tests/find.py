"""Random logs and questions: what `find` gives is what a plain loop over the records gives, and its receipt is true.

Run: python -m tests.find [--examples N] [--seed S]. Logs are in the lab's S2, Kimberlite and Synap; the records are JSON
of mixed shapes, broken JSON, bytes, NULs, deep and long ones. Pages are cut at random, and connections too. Each
question is asked in one piece and in pieces, each going on where the one before has stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import operator
import random
import time
import types
import uuid
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa

import kit
from kit.core.errors import KitError
from kit.core.log.dataset import Piece
from kit.core.log.log import Log
from kit.core.tables import filters
from kit.core.tables.json.columns import ObjectColumns, parsed_object
from kit.s2 import Record

KEYS = ("a", "b", "price", "città", "x y", "seq_num", "body", "", "deep")
TEXTS = ("Oslo", "oslo", "Bø", 'a"b', "tab\t", "1", "true", "", "null", "日本", "\U0001f600", "x" * 300)
PER_LOG = 40


# --- records --------------------------------------------------------------------------------------------------------


def a_scalar(chance):
    kind = chance.randrange(10)
    if kind < 3:
        return chance.choice((0, 1, 2, 3, -1, 7, 2**53 + 1, 2**63, 2**64 + 1, -(2**63)))
    if kind < 5:
        return chance.choice((0.5, 1.0, 3.0, -2.25, 1e300, math.inf))
    if kind < 8:
        return chance.choice(TEXTS)
    return chance.choice((True, False, None))


def a_value(chance, depth=0):
    kind = chance.randrange(8)
    if kind == 0 and depth < 4:
        return {chance.choice(KEYS): a_value(chance, depth + 1) for _ in range(chance.randrange(3))}
    if kind == 1 and depth < 4:
        return [a_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return a_scalar(chance)


def a_body(chance):
    kind = chance.randrange(20)
    if kind == 0:
        return chance.randbytes(chance.randrange(40))
    if kind == 1:
        return chance.choice(
            (b"", b"\0", b"{", b'{"a":', b"[1,2]", b'"Oslo"', b'{"a":1,"a":2}', b"\xff\xfe{\0", b"null", b"NaN")
        )
    if kind == 2:
        return chance.choice((b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 20_000, b'{"a":"\\ud800"}', b' {"a" : 3 }\n'))
    if kind == 3:
        return ("Oslo " * chance.randrange(3) + chance.choice(TEXTS)).encode()
    value = {chance.choice(KEYS): a_value(chance) for _ in range(chance.randrange(1, 6))}
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode()


def a_log(chance):
    count = chance.choice((0, 1, 3, 20, 60, 150))
    steady = chance.random() < 0.4
    if steady:  # the same keys and types everywhere, as most logs have
        cities = ("Oslo", "Bergen", "Bø")
        return [
            json.dumps({"a": n % 7, "price": n / 4, "b": chance.choice(cities), "deep": {"a": n % 3}}).encode()
            for n in range(count)
        ]
    return [a_body(chance) for _ in range(count)]


# --- questions, and the plain answer --------------------------------------------------------------------------------

ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}


def a_path(chance):
    """A path as text, and what it selects, told in another way than the package does."""
    text, steps = "$", []
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        kind = chance.randrange(8)
        deep = kind == 0
        if kind == 1:
            number = chance.choice((0, 1, -1))
            text += f"[{number}]"
            steps.append((False, number))
        elif kind == 2:
            text += chance.choice(("[*]", ".*"))
            steps.append((False, None))
        else:
            key = chance.choice(KEYS)
            quoted = not key.isidentifier()
            dots = ".." if deep else ""
            text += f"{dots}[{json.dumps(key, ensure_ascii=False)}]" if quoted else f"{dots or '.'}{key}"
            steps.append((deep, key))
    return text, steps


def selected(value, steps):
    if not steps:
        return [value]
    (deep, key), rest = steps[0], steps[1:]
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    found = []
    if key is None:
        for one in inside:
            found += selected(one, rest)
    elif isinstance(key, str):
        if isinstance(value, dict) and key in value:
            found += selected(value[key], rest)
    elif isinstance(value, list) and -len(value) <= key < len(value):
        found += selected(value[key], rest)
    if deep:
        for one in inside:
            found += selected(one, steps)
    return found


def alike(one, other):
    numbers = (int, float)
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool)
    return type(one) is type(other) or (isinstance(one, numbers) and isinstance(other, numbers))


def a_comparison(chance):
    text, steps = a_path(chance)
    sign = chance.choice((*ORDERS, "!=", "in", "=~", ""))
    wanted = a_scalar(chance)
    while wanted in (math.inf, "") or (sign in ("<", "<=", ">", ">=", "=~") and isinstance(wanted, bool | None)):
        wanted = a_scalar(chance)

    def holds(value, test):
        return any(test(one) for one in selected(value, steps))

    if not sign:
        return text, lambda value: bool(selected(value, steps))
    said = json.dumps(wanted, ensure_ascii=False)
    if sign == "in":
        other = chance.choice((3, "Oslo"))
        several = [wanted, other]
        text = f"{text} in [{said}, {json.dumps(other)}]"
        return text, lambda value: holds(value, lambda one: any(alike(one, w) and one == w for w in several))
    if sign == "=~":
        return f"{text} =~ '^O'", lambda value: holds(value, lambda one: isinstance(one, str) and one.startswith("O"))
    if sign == "!=":
        return f"{text} != {said}", lambda value: not holds(value, lambda one: alike(one, wanted) and one == wanted)
    return f"{text} {sign} {said}", lambda value: holds(
        value, lambda one: alike(one, wanted) and ORDERS[sign](one, wanted)
    )


def a_question(chance):
    text, holds = a_comparison(chance)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        kind = chance.choice(("and", "or", "not"))
        more, other = a_comparison(chance)
        if kind == "not":
            text, holds = f"not ({text})", (lambda value, holds=holds: not holds(value))
        elif kind == "and":
            text, holds = f"({text}) and {more}", (lambda value, a=holds, b=other: a(value) and b(value))
        else:
            text, holds = f"{text} or ({more})", (lambda value, a=holds, b=other: a(value) or b(value))
    return text, holds


def json_of(body):
    try:
        return json.loads(body.decode()), True
    except (ValueError, RecursionError):
        return None, False


def a_condition(chance, service):
    """Arguments of `find`, and what they mean for one record."""
    kind = chance.choice(
        ("text", "text", "path", "path", "path", "where", "where", "header" if service == "s2" else "text")
    )
    if kind == "text":
        wanted = chance.choice([one for one in TEXTS if one])
        ignore = chance.random() < 0.2

        def has(record):
            body = record["body"].lower() if ignore else record["body"]
            plain, quoted = (
                wanted.encode(),
                [json.dumps(wanted, ensure_ascii=flag)[1:-1].encode() for flag in (True, False)],
            )
            return any((one.lower() if ignore else one) in body for one in (plain, *quoted))

        return {"text": wanted, "ignore_case": ignore}, has
    if kind == "header":
        name, value = chance.choice((b"k", b"trace", b"")), chance.choice((None, b"1", b"two"))
        return {"header": name if value is None else {name: value}}, lambda record: any(
            a == name and value in (None, b) for a, b in record["headers"]
        )
    if kind == "path":
        text, holds = a_question(chance)

        def asks(record):
            value, good = json_of(record["body"])
            return good and holds(value)

        return {"path": text}, asks
    name = chance.choice(("a", "b", "price", "città", "nowhere"))
    value = chance.choice(("3", "0.5", "Oslo", "true", "2", "9007199254740993", "null"))
    where = f"{name}{chance.choice(('=', '!=', ' > ', ' <= '))}{value}"
    position = "seq_num" if service == "s2" else "offset"
    if chance.random() < 0.3:
        where += f" and {position} {chance.choice(('>=', '<'))} {chance.randrange(60)}"
    if chance.random() < 0.1:
        where = {name: chance.choice((3, "Oslo", None, 0.5))}
    [(_, test)] = filters.tests_of([where], {})

    def row(record):
        """As `read` shows this record by itself."""
        columns = {position: pa.array([record["position"]], pa.uint64() if service != "synap" else pa.int64())}
        value = parsed_object(record["body"])
        if value is not None:
            collected = ObjectColumns()
            collected.add_rows([value])
            columns |= {
                key: one for key, one in zip(value, collected.table().columns, strict=True) if key not in columns
            }
        return bool(test(pa.table(columns))[0])

    return {"where": where}, row


# --- one question ---------------------------------------------------------------------------------------------------


class Chopped:
    """A source whose pages are cut anywhere."""

    def __init__(self, source, chance):
        self._source, self._chance = source, chance

    def __getattr__(self, name):
        return getattr(self._source, name)

    def pieces(self, first, stop):
        for piece in self._source.pieces(first, stop):
            at, batch = piece.first, piece.batch
            while at < piece.stop:
                end = min(piece.stop, at + self._chance.choice((1, 2, 5, 1000)))
                yield Piece(at, end, batch.slice(at - piece.first, end - at))
                at = end


def rows_around(looked, matches, context, limit):
    """What a plain loop gives, in the order of the search: (position, whether it is a match); and how far it went."""
    hits = [n for n, one in enumerate(looked) if one in matches]
    cut = len(looked)
    following = len(looked)
    if limit is not None and len(hits) >= limit:
        if len(hits) > limit:
            following = hits[limit]
        hits = hits[:limit]
        cut = hits[-1] + 1
    wanted = set()
    for hit in hits:
        wanted |= set(range(max(0, hit - context), min(len(looked), hit + context + 1)))
    wanted = {n for n in wanted if n < max(following, cut)}
    return [(looked[n], n in hits) for n in sorted(wanted)], cut


def checked(frame, service, looked, matches, context, limit, records, start, stop, backwards):
    position = "seq_num" if service == "s2" else "offset"
    expected, cut = rows_around(looked, matches, context, limit)
    shown = frame["match"].tolist() if context else [True] * len(frame)
    got = list(zip([int(one) for one in frame[position]], shown, strict=True))
    assert got == expected, (got, expected)
    scan = frame.kit.scan
    found = sum(match for _, match in expected)
    assert scan.found == found, scan
    stopped = limit is not None and found == limit
    if not stopped:
        assert (scan.begin, scan.end, scan.complete) == (start, stop, True), (scan, start, stop)
        return scan
    last = looked[cut - 1]
    assert (scan.begin if backwards else scan.end - 1) == last, (scan, last)
    assert scan.complete == (cut == len(looked)), scan
    return scan


def ask(chance, service, source, records, lab, faults):
    arguments, holds = a_condition(chance, service)
    if chance.random() < 0.15:
        more, other = a_condition(chance, service)
        arguments, holds = (
            {**more, **arguments},
            (
                lambda record, a=holds, b=other, both=not set(more) & set(arguments): (
                    a(record) and (not both or b(record))
                )
            ),
        )
    count = len(records)
    start = chance.choice((0, 0, 0, chance.randrange(count + 1)))
    stop = chance.choice((count, count, chance.randrange(count + 1)))
    stop = max(start, stop)
    backwards, context = chance.random() < 0.3, chance.choice((0, 0, 0, 1, 3))
    limit = chance.choice((None, None, 1, 2, 5))
    order = list(range(start, stop))[:: -1 if backwards else 1]
    matches = {n for n in order if holds(records[n])}
    narrow = isinstance(arguments.get("where"), str) and (
        "seq_num" in arguments["where"] or "offset" in arguments["where"]
    )
    if narrow:
        context = 0  # what a filter of positions rules out is not read, and so is around nothing
    if faults:
        kind = chance.choice(("drop", "reset", "truncate"))
        lab.faults(service, kind, count=chance.choice((1, 2)), after=chance.randrange(4000), skip=chance.randrange(3))
    given = {**arguments, "newest_first": backwards, "context": context, "body": chance.choice(("auto", "bytes"))}
    if stop < count:
        given["until"] = stop
    told = {"start": start, "limit": limit, **given}
    find = Log(source.label, lambda: source).find
    try:
        try:
            frame = find(start=start, limit=limit, **given)
            scan = checked(frame, service, order, matches, context, limit, records, start, stop, backwards)
        except KitError as error:
            if not faults:
                raise
            # Cut once too often: what was found is there, and the rest is found from here on.
            frame, scan = error.partial, error.partial.kit.scan
            match = frame["match"] if "match" in frame else [True] * len(frame)
            got = [int(one) for one, is_match in zip(frame.iloc[:, 0], match, strict=True) if is_match]
            assert got == [n for n in order if n in matches and scan.begin <= n < scan.end] and not scan.complete
            lab.faults(service, clear=True)
        seen = [p for p, match in zip(frame.iloc[:, 0], frame.get("match", [True] * len(frame)), strict=True) if match]
        if not narrow:
            size = sum(len(records[n]["body"]) for n in range(scan.begin, scan.end))
            assert (scan.records, scan.bytes) == (scan.end - scan.begin, size), scan
        # The rest, in pieces: nothing twice, nothing left out.
        tries = 0
        given.pop("until", None)
        until = {"until": stop} if stop < count and not backwards else {}
        while not scan.complete:
            left = [n for n in order if (n < scan.next if backwards else n >= scan.next)]
            low, high = (start, scan.next) if backwards else (scan.next, stop)
            more = find(resume=chance.choice((frame, scan, scan.as_dict())), limit=3, **given, **until)
            scan = checked(more, service, left, matches, context, 3, records, low, high, backwards)
            match = more.get("match", [True] * len(more))
            seen += [p for p, is_match in zip(more.iloc[:, 0], match, strict=True) if is_match]
            frame, tries = more, tries + 1
            assert tries < 200
        assert [int(one) for one in seen] == [n for n in order if n in matches]
    except BaseException as error:
        error.add_note(f"{service}: {told}")
        raise
    finally:
        if faults:
            lab.faults(service, clear=True)


# --- logs -----------------------------------------------------------------------------------------------------------


def made(chance, service, lab, basin, bodies):
    """The log with these bodies, and its records as a loop sees them."""
    name = f"find-{uuid.uuid4().hex[:12]}"
    records = [{"position": n, "body": body, "headers": []} for n, body in enumerate(bodies)]
    if service == "s2":
        stream = basin.create(name)
        for record in records:
            if chance.random() < 0.2:
                record["headers"] = [(chance.choice((b"k", b"trace")), chance.choice((b"1", b"two"))) for _ in range(2)]
        if records:
            stream.append([Record(one["body"], headers=one["headers"]) for one in records])
        return stream, records
    if service == "kimberlite":
        lab.kimberlite.create(name)
        if bodies:
            lab.kimberlite.append(name, bodies)
        return lab.kimberlite[name], records
    lab.synap.client.stream.create(name)
    if bodies:
        lab.synap.client.stream.publish_many(name, [("e", body) for body in bodies], ordered=True)
    for record, body in zip(records, lab.synap[name].source().pieces(0, len(bodies)), strict=False):
        del record, body
    return lab.synap[name], records


def as_stored(log, records):
    """Synap keeps data as JSON: the bodies are what the room has now."""
    if not records:
        return records
    bodies = [body for piece in log.source().pieces(0, len(records)) for body in piece.batch.column(-1).to_pylist()]
    assert len(bodies) == len(records)
    return [{**record, "body": body} for record, body in zip(records, bodies, strict=True)]


@contextlib.contextmanager
def apart(lab):
    """The lab's services over connections of their own, which faults may do to what they like."""
    with contextlib.ExitStack() as stack:
        names = ("s2", "kimberlite", "synap")
        own = {name: stack.enter_context(kit.connect(name, environment=lab.env())) for name in names}
        yield types.SimpleNamespace(**own, faults=lab.faults, env=lab.env)


def campaign(examples, seed, lab, *, faults=0.15, say=lambda words: None):
    chance = random.Random(seed)
    basin = lab.s2.create_basin(f"find-{uuid.uuid4().hex[:10]}")
    done, began = 0, time.monotonic()
    while done < examples:
        service = chance.choice(("s2", "s2", "kimberlite", "synap"))
        own = random.Random(f"{seed}/{done}")
        log, records = made(own, service, lab, basin, a_log(own))
        records = as_stored(log, records)
        source = log.source()
        for n in range(min(PER_LOG, examples - done)):
            one = random.Random(f"{seed}/{done}/{n}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    ask(one, service, Chopped(source, one), records, lab, one.random() < faults)
                except (AssertionError, KitError, TypeError, ValueError, KeyError) as error:
                    error.add_note(f"seed {seed}, log {done}, question {n}")
                    raise
        done += PER_LOG
        say(f"{min(done, examples):,} questions in {time.monotonic() - began:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    kit.progress(False)
    assert np and pd
    with kit.Lab("s2", "kimberlite", "synap", demo=False, join=False) as lab:
        campaign(chosen.examples, chosen.seed, lab, say=lambda words: print(words, end="\r", flush=True))
    print(f"\n{chosen.examples:,} questions: every answer and every receipt is that of a plain loop")


if __name__ == "__main__":
    main()
