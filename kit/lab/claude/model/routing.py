"""The choice of a model if none is named: by the words of the prompt, as the service does it."""

from __future__ import annotations

SIMPLE = ("list", "format", "count", "show", "get", "create", "add")
COMPLEX = (
    "analyze",
    "architect",
    "debug",
    "design",
    "implement",
    "optimize",
    "refactor",
    "review",
    "test",
    "diagnose",
    "strategy",
)
_LARGE = 10_000


def choose(prompt: str, context: int = 0, remaining: int | None = None) -> str:
    """Return the model. `remaining` are the tokens left of a budget; none, and exactly 0, count as unlimited.

    >>> choose("What is Python?"), choose("Count to 5"), choose("hi", context=10_001), choose("hi", remaining=999)
    ('sonnet', 'haiku', 'opus', 'haiku')
    """
    if remaining and remaining < 1000:
        return "haiku"
    if context > _LARGE:
        return "opus"
    if _simple(prompt):
        return "haiku"
    if _complex(prompt):
        return "haiku" if remaining and remaining < 5000 else "sonnet"
    return "sonnet"


def reasons(prompt: str, context: int = 0, remaining: int | None = None) -> str:
    """Return what the service says about its choice. Each part is found by itself, so that they may contradict it."""
    parts = []
    if remaining and remaining < 1000:
        parts.append("Budget constraint: Insufficient budget forces Haiku")
    if context > _LARGE:
        parts.append("Context constraint: Large context requires Opus")
    if _simple(prompt):
        parts.append("Simple prompt with basic keywords → Haiku")
    if _complex(prompt):
        poor = remaining and remaining < 5000
        parts.append(
            "Complex keywords but limited budget → Haiku"
            if poor
            else "Complex reasoning keywords with sufficient budget → Sonnet"
        )
    return " | ".join(parts) or "Medium complexity task → Sonnet (default)"


def _simple(prompt: str) -> bool:
    return len(prompt) < 100 and any(word in prompt.lower() for word in SIMPLE)


def _complex(prompt: str) -> bool:
    lower = prompt.lower()
    return any(word in lower for word in COMPLEX)
