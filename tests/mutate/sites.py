"""What can be changed in a file, and by what."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WHERE = [
    "kit/core/tables/*.py",
    "kit/core/tables/json/*.py",
    "kit/core/http/exchange.py",
    "kit/core/http/http1.py",
    "kit/core/http/chunked.py",
    "kit/core/http/sse.py",
    "kit/core/http/retry.py",
    "kit/core/http/unpacking.py",
    "kit/*/wire/*.py",
    "kit/kimberlite/wire/protocol/*.py",
    "kit/live/feed/buffer.py",
    "kit/live/results/*.py",
]
"""What reads and folds what others send."""

OPPOSITE = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
}


@dataclass(frozen=True)
class Change:
    """One change of one file."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str
    function: str
    """The function that it is in, with what that is in; empty outside of all."""
    text: str
    """The line as it is, without the room before it: with it a judgement finds its change again."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.old} -> {self.new}: {self.text}"

    @property
    def name(self) -> str:
        """The change without its line number, which moves."""
        return f"{self.path}: {self.old} -> {self.new}: {self.text}"

    def applied(self, source: bytes) -> bytes:
        """Return the file with this change."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def changes(root: Path) -> list[Change]:
    """Return all changes that are possible, in order."""
    files = sorted({path for pattern in WHERE for path in root.glob(pattern)})
    return [change for path in files for change in _of(path.relative_to(root).as_posix(), path.read_bytes())]


def _of(path: str, source: bytes) -> Iterator[Change]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.decode().splitlines()
    tree = ast.parse(source)

    def at(line: int, column: int) -> int:
        return starts[line - 1] + column

    def between(left: ast.expr, right: ast.expr, kind: type[ast.AST], function: str) -> Iterator[Change]:
        assert left.end_lineno is not None and left.end_col_offset is not None
        old, new = OPPOSITE[kind]
        start = at(left.end_lineno, left.end_col_offset)
        gap = source[start : at(right.lineno, right.col_offset)]
        word = r"\b" + r"\s+".join(old.split()) + r"\b" if old[0].isalpha() else re.escape(old)
        found = re.search(word.encode(), gap)
        if found:
            line = left.end_lineno + gap[: found.start()].count(b"\n")
            where = start + found.start(), start + found.end()
            yield Change(path, line, *where, old, new, function, lines[line - 1].strip())

    def visit(node: ast.AST, within: str, function: str) -> Iterator[Change]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            within = function = f"{within}.{node.name}"
            inner: list[ast.AST] = [*node.args.defaults, *(one for one in node.args.kw_defaults if one), *node.body]
        elif isinstance(node, ast.ClassDef):
            within, inner = f"{within}.{node.name}", list(node.body)
        elif isinstance(node, ast.AnnAssign):
            inner = [node.value] if node.value else []
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            inner = list(node.orelse)
        elif isinstance(node, ast.JoinedStr):
            inner = []  # before Python 3.12 a place inside such a text is told wrongly
        else:
            inner = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for n, op in enumerate(node.ops):
                yield from between(operands[n], operands[n + 1], type(op), function)
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from between(left, right, type(node.op), function)
        elif isinstance(node, ast.BinOp) and type(node.op) in OPPOSITE and not (_text(node.left) or _text(node.right)):
            yield from between(node.left, node.right, type(node.op), function)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start, end = at(node.lineno, node.col_offset), at(node.operand.lineno, node.operand.col_offset)
            if source[start:end].strip() == b"not":
                yield Change(path, node.lineno, start, end, "not", "", function, lines[node.lineno - 1].strip())
        elif isinstance(node, ast.Constant) and type(node.value) is int and node.end_col_offset is not None:
            start, end = at(node.lineno, node.col_offset), at(node.lineno, node.end_col_offset)
            old, new = source[start:end].decode(), str(node.value + 1)
            yield Change(path, node.lineno, start, end, old, new, function, lines[node.lineno - 1].strip())
        for one in inner:
            yield from visit(one, within, function)

    yield from visit(tree, "", "")


def _text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))


class Marked(ast.NodeTransformer):
    """Has each function of a module tell that it was called."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.within = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return self._told(self._inside(node))

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        return self._told(self._inside(node))

    def _inside(self, node: Any) -> Any:
        before, self.within = self.within, f"{self.within}.{node.name}"
        node.function = self.within
        self.generic_visit(node)
        self.within = before
        return node

    def _told(self, node: Any) -> Any:
        told = ast.parse(f"__import__('builtins').CALLED.add(({self.path!r}, {node.function!r}))").body
        first = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body[first:first] = told
        return node


def marked(path: str, source: bytes) -> str:
    """Return the module with marks; a call of a function adds file and function to `builtins.CALLED`."""
    return ast.unparse(ast.fix_missing_locations(Marked(path).visit(ast.parse(source))))
