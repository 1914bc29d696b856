"""Prompts over feeds: choosing the explorer that answers, and making the feed of answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .core.errors import InputError

if TYPE_CHECKING:
    from .claude.explore.explorer import Claude
    from .live.feed.feed import Feed


def ask(
    feed: Any,
    prompt: str,
    columns: Any,
    *,
    on: Any,
    model: str,
    max_cost: float,
    every: float,
    most: int,
    repair: int,
    cache: Any,
) -> Feed:
    """Return a feed of the same rows with answers beside them; see `Feed.ask`."""
    from .claude.client.batches.cache import cache_of
    from .claude.explore.asking import AskSource
    from .claude.wire.columns_spec import spec_of
    from .live.feed.feed import Feed

    if feed.source.replaces:
        raise InputError("ask: this feed's rows are replaced as a whole", hint="use the feed that it was made from")
    for name, value, least in (("max_cost", max_cost, 0.0), ("every", every, 0.1)):
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value < least:
            raise InputError(f"ask: {name}={value!r}: give a number from {least:g} up")
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 500:
        raise InputError(f"ask: most={most!r}: give the number of rows for each round, from 1 to 500")
    explorer = explorer_of(on)
    source = AskSource(
        feed,
        explorer.client.beside(),
        explorer.budget,
        prompt,
        None if columns is None else spec_of(columns),
        model=model,
        max_cost=max_cost,
        every=every,
        most=most,
        repair=repair,
        cache=cache_of(cache, explorer.cache),
    )
    return Feed(source)


def explorer_of(given: Any) -> Claude:
    """Return the explorer that is meant: it, a lab's, else the notebook's lab's, else that of the environment."""
    from .claude.explore.explorer import Claude

    if isinstance(given, Claude):
        return given
    if given is not None:
        own = getattr(given, "claude", None)
        if isinstance(own, Claude):
            return own
        raise InputError(
            f"ask: on={type(given).__name__} does not answer prompts", hint="give lab.claude, or kit.connect(...)"
        )
    import sys

    from .notebook.magic_explorers import reached

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    explorer: Claude = reached("claude", {} if shell is None else shell.user_ns)
    return explorer
