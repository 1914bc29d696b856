"""A batch's results on disk, line by line, so that a new kernel need not pay for them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ...errors import ClaudeInputError
from ...types import BatchResult, Usage
from ...wire import json_messages as wire

_FORMAT = "kit-claude-batch-1"


class Journal:
    """One JSON object a line: each prompt before it is sent, and its result once it has arrived."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.done: dict[str, BatchResult] = {}
        self.sent: set[str] = set()
        self._file: IO[str] | None = None
        if self.path.exists() and self.path.stat().st_size:
            self._read()

    def _read(self) -> None:
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            if _object(lines.readline()).get("format") != _FORMAT:
                raise ClaudeInputError(f"{self.path} is not the file of this batch", hint="give keep= a new file")
            for line in lines:
                # A crash may have cut the last line; its prompt counts as sent.
                value = _object(line)
                keys = value.get("sent")
                if isinstance(keys, list):
                    self.sent.update(key for key in keys if isinstance(key, str))
                elif isinstance(value.get("key"), str):
                    result = _result(value)
                    if result is not None:
                        self.done[value["key"]] = result
                    elif value.get("ran") is False:
                        self.sent.discard(value["key"])

    def sending(self, keys: Sequence[str]) -> None:
        """Note that these are about to be sent."""
        self._write({"sent": list(keys)})

    def came(self, key: str, result: BatchResult) -> None:
        """Note what came of one."""
        line: dict[str, Any] = {"key": key, "status": result.status}
        if result.status == "completed" and result.usage is not None:
            line |= {"content": result.content, "cost": result.cost}
            line |= {"input_tokens": result.usage.input_tokens, "output_tokens": result.usage.output_tokens}
        elif result.paid is False:
            line["ran"] = False
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            new = not self.path.exists() or not self.path.stat().st_size
            # Prompts and answers are private to the user.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(handle, "a", encoding="utf-8")
            # After a line that a crash cut, the next one must start on a new line.
            self._file.write(json.dumps({"format": _FORMAT}) + "\n" if new else "\n")
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def key_of(place: int, prompt: str, model: str | None) -> str:
    """Return the key of a prompt of a batch, the same in every kernel."""
    digest = hashlib.blake2b(f"{model}\0{prompt}".encode("utf-8", "surrogatepass"), digest_size=16)
    return f"{place}:{digest.hexdigest()}"


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _result(value: dict[str, Any]) -> BatchResult | None:
    used, cost, content = wire.usage_of(value), wire.number(value.get("cost")), value.get("content")
    if value.get("status") != "completed" or used is None or cost is None or not isinstance(content, str):
        return None
    usage = Usage(used.input_tokens, used.output_tokens, used.input_tokens + used.output_tokens)
    return BatchResult("", "", "completed", content, usage, cost, None, True)
