"""The prices of the three models, and the likely cost of a call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

PRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"haiku": (0.25, 1.25), "sonnet": (3.00, 15.00), "opus": (15.00, 75.00)}
)
"""USD for a million tokens, input and output."""

LIKELY_OUTPUT = 300
"""The assumed length of an answer in tokens, until a better figure is known."""


def cost_of(model: str, input_tokens: int, output_tokens: int) -> float:
    """Return the price in USD, unrounded, as the service computes it; 0 for a model without a price.

    >>> f"{cost_of('haiku', 3, 12):.8f}", cost_of("opus", 1_000_000, 1_000_000), cost_of("auto", 5, 5)
    ('0.00001575', 90.0, 0.0)
    """
    rate_in, rate_out = PRICES.get(model, (0.0, 0.0))
    return input_tokens / 1e6 * rate_in + output_tokens / 1e6 * rate_out


def likely_tokens(prompt: str) -> int:
    """Estimate how many tokens a prompt has: by its letters, or by its words where those give more.

    >>> likely_tokens("What is Python?")
    4
    """
    return max(1, math.ceil(len(prompt) / 4), len(prompt.split()))


def likely_cost(prompt: str, model: str, output_tokens: float = LIKELY_OUTPUT) -> float:
    """Estimate what an answer will cost, in USD; where the service chooses the model, the price of its likely choice.

    >>> round(likely_cost("What is Python?", "sonnet"), 6)
    0.004512
    """
    return cost_of(model if model in PRICES else "sonnet", likely_tokens(prompt), math.ceil(output_tokens))
