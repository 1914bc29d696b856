"""Questions about one JSON value: a path to what is inside, compared with something.

$.customer.city == 'Oslo'            a member of a member
$.items[0].price > 10                an item of a list; [-1] is the last one
$.items[*].sku == "a-1"              true where any of them is
$..error                             at any depth; a path alone asks whether it is there
$.total >= 10 and not $.paid         `and`, `or`, `not`, and brackets; `&&`, `||`, `!` mean the same
$.city in ['Oslo', 'Bergen']         one of several
$.name =~ '^Ann [0-9]'               a regular expression that matches somewhere in a text; its backslashes stay

Numbers are compared with numbers and texts with texts: `1` is neither `true` nor `"1"`. `!=` is true where `==` is not,
so also where nothing is there; the other comparisons are false there. Keys with other characters than letters, digits,
`_` and `-` are written in quotes: `$['first name']`.

No library is used: jsonpath-ng and python-jsonpath take more than ten times as long for the path of the first line.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...errors import InputError, KitError

Truth = Callable[[Any], bool]
Number = tuple[str, Callable[[Any, Any], Any], float]
"""A key, a comparison, and the number to compare with."""
_LONGEST = 4096
_DEEPEST = 64
"""Brackets and `not` within each other."""


@dataclass(frozen=True)
class Question:
    """What a text asks of a JSON value."""

    text: str
    holds: Truth
    """Tells whether the question is true of a value."""
    needs: frozenset[str] = frozenset()
    """Texts that the JSON of each matching value contains, as they are or with escapes."""
    number: Number | None = None
    """A key, and a condition on the number after it, that the JSON of each matching value contains."""


_TOKEN = re.compile(
    r"""\s*(?:
    (?P<path>\$(?:\.\.?(?:\*|[\w-]+)|(?:\.\.?)?\[\s*(?:-?\d+|\*|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*\])*)
    |(?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]))
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<sign>==|!=|<>|<=|>=|=~|=|<|>|&&|\|\||!|\(|\)|\[|\]|,)
    |(?P<word>[^\W\d]\w*)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"""(\.\.?)?(?:\[\s*(?:(-?\d+)|(\*)|('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))\s*\]|(\*)|([\w-]+))""")
_SAME = {"=": "==", "<>": "!=", "&&": "and", "||": "or", "!": "not"}
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_WORDS = {"true": True, "false": False, "null": None}


def question(text: str, refuse: type[KitError] = InputError) -> Question:
    """Return the question of a text; raise with the place if it cannot be parsed.

    >>> asked = question("$.customer.city == 'Oslo' and $.total > 10")
    >>> asked.holds({"customer": {"city": "Oslo"}, "total": 10.5}), asked.holds({"total": 99}), sorted(asked.needs)
    (True, False, ['Oslo', 'city', 'customer', 'total'])
    """
    if not isinstance(text, str) or not text.strip() or len(text) > _LONGEST:
        raise refuse(f"path={text!r:.80} asks nothing", hint="""give a text like path="$.customer.city == 'Oslo'" """)
    parser = _Parser(text, refuse)
    meaning = parser.either(0)
    parser.end()
    return Question(text, meaning.holds, meaning.needs, meaning.number)


class _Told(NamedTuple):
    """The meaning of a part of the text; the fields are those of `Question`."""

    holds: Truth
    needs: frozenset[str] = frozenset()
    number: Number | None = None


class _Parser:
    """Reads one text, a token at a time."""

    def __init__(self, text: str, refuse: type[KitError]) -> None:
        self._text, self._refuse, self._at = text, refuse, 0
        self._tokens: list[tuple[str, str, int]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._wrong(at)
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind], match.start(kind)))
            at = match.end()

    def either(self, depth: int) -> _Told:
        """Parse `a or b`: only what both sides need is needed."""
        first = self._both(depth)
        while self._next_is("or"):
            second = self._both(depth)
            first = _Told(_or(first.holds, second.holds), first.needs & second.needs)
        return first

    def end(self) -> None:
        """Raise if text is left over."""
        if self._at < len(self._tokens):
            raise self._wrong(self._tokens[self._at][2])

    def _both(self, depth: int) -> _Told:
        first = self._one(depth)
        while self._next_is("and"):
            second = self._one(depth)
            holds = _and(first.holds, second.holds)
            first = _Told(holds, first.needs | second.needs, first.number or second.number)
        return first

    def _one(self, depth: int) -> _Told:
        if depth > _DEEPEST:
            raise self._refuse(f"path={self._text!r:.80} has more than {_DEEPEST} nested brackets")
        if self._next_is("not"):
            inner = self._one(depth + 1).holds
            return _Told(lambda value: not inner(value))
        if self._next_is("("):
            meaning = self.either(depth + 1)
            if not self._next_is(")"):
                raise self._wrong()
            return meaning
        return self._comparison()

    def _comparison(self) -> _Told:
        kind, path, place = self._take()
        if kind != "path":
            raise self._wrong(place)
        kind, sign, place = self._tokens[self._at] if self._at < len(self._tokens) else ("", "", 0)
        sign = _SAME.get(sign, sign.lower())
        if sign in ("and", "or", ")", ""):
            holds, names, _ = _places(path, lambda value: True)
            return _Told(holds, names)
        if sign not in ("==", "!=", "in", "=~", *_ORDERS):
            raise self._wrong(place)
        self._at += 1
        if sign == "in":
            several = self._list()
            holds, names, _ = _places(path, _equal(several))
            return _Told(holds, names | (_needed(several[0]) if len(several) == 1 else frozenset()))
        if sign == "=~":
            kind, text, place = self._take()
            if kind != "text":
                raise self._wrong(place)
            operand = text[1:-1].replace("\\" + text[0], text[0])
            try:
                pattern = re.compile(operand)
            except (re.error, RecursionError, OverflowError) as error:
                raise self._refuse(f"path={self._text!r:.80}: {operand!r} is not a regex: {error}") from None
            holds, names, _ = _places(path, _matched(pattern))
            return _Told(holds, names)
        operand = self._literal()
        if sign == "!=":
            same, _, _ = _places(path, _equal([operand]))
            return _Told(lambda value: not same(value))
        number = type(operand) in (int, float)
        if sign == "==":
            holds, names, last = _places(path, _equal([operand]))
            return _Told(holds, names | _needed(operand), (last, operator.eq, operand) if number and last else None)
        if isinstance(operand, bool) or operand is None:
            raise self._refuse(f"path={self._text!r:.80}: {sign} compares numbers or texts", hint=_HINT)
        holds, names, last = _places(path, _compared(_ORDERS[sign], operand))
        return _Told(holds, names, (last, _ORDERS[sign], operand) if number and last else None)

    def _literal(self) -> Any:
        kind, text, place = self._take()
        if kind == "number":
            return json.loads(text)
        if kind == "text":
            return _unquoted(text)
        if kind == "word" and text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if kind == "word":
            raise self._refuse(
                f"path={self._text!r:.80}: {text!r} is not a value", hint=f"put text in quotes: '{text}'"
            )
        raise self._wrong(place)

    def _list(self) -> list[Any]:
        if not self._next_is("["):
            raise self._wrong()
        values = [self._literal()]
        while self._next_is(","):
            values.append(self._literal())
        if not self._next_is("]"):
            raise self._wrong()
        return values

    def _take(self) -> tuple[str, str, int]:
        if self._at >= len(self._tokens):
            raise self._wrong(len(self._text))
        self._at += 1
        return self._tokens[self._at - 1]

    def _next_is(self, sign: str) -> bool:
        if self._at < len(self._tokens):
            kind, text, _ = self._tokens[self._at]
            if kind in ("sign", "word") and _SAME.get(text, text.lower() if kind == "word" else text) == sign:
                self._at += 1
                return True
        return False

    def _wrong(self, place: int | None = None) -> KitError:
        if place is None:
            place = self._tokens[self._at][2] if self._at < len(self._tokens) else len(self._text)
        rest = self._text[place:].strip()[:40]
        if not self._text.lstrip().startswith(("$", "(", "!", "not")):
            return self._refuse(f"path={self._text!r:.80} does not begin with $", hint=_HINT)
        where = f"at {rest!r}" if rest else "at its end"
        return self._refuse(f"path={self._text!r:.80} cannot be understood {where}", hint=_HINT)


_HINT = """write path="$.customer.city == 'Oslo'"; there are ==, !=, <, <=, >, >=, in, =~, and, or, not"""


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    if text[0] == "'":  # as JSON would write it
        own = {"'": "'", None: '\\"'}
        inner = re.sub(r'\\(.)|"', lambda match: own.get(match[1], match[0]), inner, flags=re.DOTALL)
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError:  # escapes that JSON does not have
        return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _places(path: str, holds: Truth) -> tuple[Truth, frozenset[str], str | None]:
    """Return whether something holds of any value that a path leads to; the keys that must be there; the key of the
    value."""
    steps: list[tuple[bool, Any]] = []
    at = 1
    while at < len(path):
        match = _STEP.match(path, at)
        assert match is not None, path
        dots, index, star, quoted, any_member, name = match.groups()
        key: Any = int(index) if index else _ANY if star or any_member else _unquoted(quoted) if quoted else name
        steps.append((dots == "..", key))
        at = match.end()
    names = frozenset(key for _, key in steps if isinstance(key, str))
    last = steps[-1][1] if steps and isinstance(steps[-1][1], str) else None
    if any(deep or key is _ANY for deep, key in steps):
        return (lambda value: any(holds(one) for one in _walked(value, steps))), names, last
    return _single(tuple(key for _, key in steps), holds), names, last


_ANY = object()


def _single(keys: tuple[Any, ...], holds: Truth) -> Truth:
    def run(value: Any) -> bool:
        for key in keys:
            if type(key) is str:
                if type(value) is not dict or key not in value:
                    return False
            elif type(value) is not list or not -len(value) <= key < len(value):
                return False
            value = value[key]
        return holds(value)

    return run


def _walked(value: Any, steps: Iterable[tuple[bool, Any]]) -> Iterator[Any]:
    here = iter([value])
    for deep, key in steps:
        here = _stepped(_all_inside(here) if deep else here, key)
    return here


def _stepped(values: Iterator[Any], key: Any) -> Iterator[Any]:
    for value in values:
        if key is _ANY:
            yield from value.values() if type(value) is dict else value if type(value) is list else ()
        elif type(key) is str:
            if type(value) is dict and key in value:
                yield value[key]
        elif type(value) is list and -len(value) <= key < len(value):
            yield value[key]


def _all_inside(values: Iterator[Any]) -> Iterator[Any]:
    """Return the values, and all values inside them."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        yield value
        if type(value) is dict:
            waiting += value.values()
        elif type(value) is list:
            waiting += value


def _kind(value: Any) -> Any:
    """Return the kind of a value for comparisons: whole and other numbers are one kind."""
    return float if type(value) is int else type(value)


def _equal(values: list[Any]) -> Truth:
    pairs = [(_kind(value), value) for value in values]
    if len(pairs) > 1:
        return lambda value: any(_kind(value) is kind and value == one for kind, one in pairs)
    kind, one = pairs[0]
    return lambda value: value == one and _kind(value) is kind


def _compared(order: Callable[[Any, Any], bool], operand: Any) -> Truth:
    if type(operand) is str:
        return lambda value: type(value) is str and order(value, operand)
    return lambda value: (type(value) is float or type(value) is int) and order(value, operand)


def _matched(pattern: re.Pattern[str]) -> Truth:
    return lambda value: type(value) is str and pattern.search(value) is not None


def _or(first: Truth, second: Truth) -> Truth:
    return lambda value: first(value) or second(value)


def _and(first: Truth, second: Truth) -> Truth:
    return lambda value: first(value) and second(value)


def _needed(value: Any) -> frozenset[str]:
    return frozenset([value]) if isinstance(value, str) and value else frozenset()
