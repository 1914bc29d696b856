"""Request bodies, checked field by field; all errors are reported at once, in the service's words."""

from __future__ import annotations

import json
import math
from typing import Any

from .answers import Refusal

_ECHO = 200


class Fields:
    """The fields of a body. Unknown ones are ignored; `check()` raises one refusal for all errors."""

    def __init__(self, body: bytes) -> None:
        self._wrong: list[dict[str, Any]] = []
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(
                422,
                [
                    {
                        "type": "json_invalid",
                        "loc": ["body", getattr(error, "pos", 0)],
                        "msg": "JSON decode error",
                        "input": {},
                        "ctx": {"error": str(error)[:_ECHO]},
                    }
                ],
            ) from None
        if not isinstance(value, dict):
            self._say(
                "model_attributes_type",
                (),
                "Input should be a valid dictionary or object to extract fields from",
                value,
            )
            self.check()
        self.values: dict[str, Any] = value

    def check(self) -> None:
        """Refuse the request if anything was wrong."""
        if self._wrong:
            raise Refusal(422, self._wrong)

    def text(self, name: str, default: str | None = None, *, null: bool = False) -> str:
        """Return a text; without a default it must be there. With `null` an absent one is ""."""
        value = self.values.get(name, default)
        if name not in self.values and default is None and not null:
            self._missing(name)
            return ""
        if value is None and null:
            return ""
        if not isinstance(value, str):
            self._say("string_type", (name,), "Input should be a valid string", value)
            return ""
        if not is_text(value):
            message = "Input should be a valid string, unable to parse raw data as a unicode string"
            self._say("string_unicode", (name,), message, value)
            return ""
        return value

    def number(self, name: str, default: float, least: float = -math.inf, most: float = math.inf) -> float:
        """Return a number within bounds."""
        value = self.values.get(name, default)
        result = _number(value)
        if result is None:
            self._say("float_type", (name,), "Input should be a valid number", value)
            return default
        if result < least:
            self._say("greater_than_equal", (name,), f"Input should be greater than or equal to {least:g}", value)
        elif result > most:
            self._say("less_than_equal", (name,), f"Input should be less than or equal to {most:g}", value)
        return result

    def integer(self, name: str, default: int, *, least: int | None = None, most: int | None = None) -> int:
        """Return a whole number; 30.0 is one. An integer stays exact at any size."""
        value = self.values.get(name, default)
        number = value if type(value) is int else _number(value)
        if number is None:
            self._say("int_type", (name,), "Input should be a valid integer", value)
            return default
        if number != int(number):
            message = "Input should be a valid integer, got a number with a fractional part"
            self._say("int_from_float", (name,), message, value)
            return default
        if least is not None and number < least:
            self._say("greater_than_equal", (name,), f"Input should be greater than or equal to {least}", value)
        if most is not None and number > most:
            self._say("less_than_equal", (name,), f"Input should be less than or equal to {most}", value)
        return int(number)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; absent is empty, null is not allowed."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            self._say("list_type", (name,), "Input should be a valid list", value)
            return []
        for place, item in enumerate(value):
            if not isinstance(item, str):
                self._say("string_type", (name, place), "Input should be a valid string", item)
        return [one for one in value if isinstance(one, str)]

    def messages(self, name: str = "messages") -> list[dict[str, Any]]:
        """Return a list of messages: any objects, their content a text or a list of blocks."""
        if name not in self.values:
            self._missing(name)
            return []
        value = self.values[name]
        if not isinstance(value, list):
            self._say("list_type", (name,), "Input should be a valid list", value)
            return []
        for place, item in enumerate(value):
            if not isinstance(item, dict):
                self._say("dict_type", (name, place), "Input should be a valid dictionary", item)
        return [one for one in value if isinstance(one, dict)]

    def prompts(self) -> list[tuple[str | None, str]]:
        """Return a list of objects, each with a prompt and perhaps an id."""
        if "prompts" not in self.values:
            self._missing("prompts")
            return []
        value = self.values["prompts"]
        if not isinstance(value, list):
            self._say("list_type", ("prompts",), "Input should be a valid list", value)
            return []
        pairs: list[tuple[str | None, str]] = []
        for place, item in enumerate(value):
            where = ("prompts", place)
            if not isinstance(item, dict):
                message = "Input should be a valid dictionary or object to extract fields from"
                self._say("model_attributes_type", where, message, item)
            elif "prompt" not in item:
                self._say("missing", (*where, "prompt"), "Field required", item)
            elif not isinstance(item["prompt"], str):
                self._say("string_type", (*where, "prompt"), "Input should be a valid string", item["prompt"])
            elif not isinstance(item.get("id"), str | None):
                self._say("string_type", (*where, "id"), "Input should be a valid string", item["id"])
            else:
                pairs.append((item.get("id"), item["prompt"]))
        return pairs

    def _missing(self, name: str) -> None:
        self._say("missing", (name,), "Field required", self.values)

    def _say(self, kind: str, where: tuple[str | int, ...], message: str, value: Any) -> None:
        if len(self._wrong) < 100:
            self._wrong.append({"type": kind, "loc": ["body", *where], "msg": message, "input": _echo(value)})


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def is_text(value: str) -> bool:
    """Return whether a string is text that can be stored: JSON may contain half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def named_project(value: Any) -> str:
    """Return the project that a request names; "" where it names none."""
    if not isinstance(value, str):
        return ""
    if not is_text(value):
        raise Refusal(422, "project_id contains half of a surrogate pair, which is not text")
    return value


def _echo(value: Any) -> Any:
    """Return what was given, as far as it is short."""
    if isinstance(value, str):
        return value[:_ECHO]
    if isinstance(value, dict | list):
        text = json.dumps(value)
        # What contains NaN is shown as text, as an answer cannot contain it.
        return value if len(text) <= _ECHO and "NaN" not in text and "Infinity" not in text else text[:_ECHO]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def prompt_of(messages: list[dict[str, Any]]) -> str:
    """Return messages as the single text that the service gives to its command.

    >>> prompt_of([{"role": "user", "content": "Hello"}, {"content": [{"type": "text", "text": "there"}]}])
    'user: Hello\\n\\nuser: there'
    """
    return "\n\n".join(f"{message.get('role') or 'user'}: {_content(message.get('content'))}" for message in messages)


def _content(content: Any) -> str:
    if isinstance(content, list):
        texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
        return " ".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
