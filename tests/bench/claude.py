"""Claude's client against plain httpx, on one embedded server in one run. Run: python -m tests.bench.claude

`batch(parallel=True)` gives the answers to 1 000 small prompts; beside it stands what one writes without it, a pool of
threads that posts each prompt by itself and reads each answer's fields. A call by itself stands beside one post with a
kept connection. Both sides do one small thing first, so that neither connecting nor loading is in the figures.
"""

from __future__ import annotations

import os
import time
from itertools import count

from .measure import Figures, Pairs, Side, size, timed
from .measure import main as run

THREADS = 16


def prompt(n: int) -> str:
    return f"Count to {n % 9 + 1}"


def ours_batch() -> Figures:
    from kit.claude import ClaudeClient

    with ClaudeClient() as client:
        client.complete("hello", model="haiku")
        started = time.perf_counter()
        results = client.batch([prompt(n) for n in range(size())], model="haiku", parallel=True)
        took = time.perf_counter() - started
    assert results.completed == size() and results.results[7].content.endswith("8")
    return {"time": took}


def pool_batch() -> Figures:
    from concurrent.futures import ThreadPoolExecutor

    post, close = poster()

    def one(n: int) -> str:
        return str(post(prompt(n))["content"])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, range(THREADS)))
        started = time.perf_counter()
        results = list(pool.map(one, range(size())))
        took = time.perf_counter() - started
    close()
    assert results[7].endswith("8")
    return {"time": took}


def poster():
    """Posts one prompt with a bare httpx client; and its close."""
    import httpx

    client = httpx.Client(
        base_url=os.environ["CLAUDE_API_URL"],
        headers={"authorization": f"Bearer {os.environ['CLAUDE_API_KEY']}"},
        timeout=60,
    )

    def post(text: str):
        body = {"messages": [{"role": "user", "content": text}], "model": "haiku", "timeout": 30.0}
        answer = client.post("/v1/chat/completions", json=body)
        answer.raise_for_status()
        return answer.json()

    return post, client.close


def ours_call() -> Figures:
    from kit.claude import ClaudeClient

    with ClaudeClient() as client:
        numbers = count()
        return timed(lambda: client.complete(prompt(next(numbers)), model="haiku", timeout=30), size(), 50)


def bare_call() -> Figures:
    post, close = poster()
    numbers = count()
    try:
        return timed(lambda: post(prompt(next(numbers))), size(), 50)
    finally:
        close()


SIDES: dict[str, Side] = {side.__name__: side for side in (ours_batch, pool_batch, ours_call, bare_call)}


def rows(pairs: Pairs) -> None:
    import kit

    # As many requests as it takes: the figures are not about the limit.
    os.environ["KIT_CLAUDE_RATE_LIMIT"] = "1000000000"
    with kit.Lab("claude", demo=False, join=False) as lab:
        env = lab.env()
        pairs.compare(
            "Claude: 1 000 small prompts, against 16 threads", "ours_batch", "pool_batch", env, goal=1.0, size=1000
        )
        pairs.compare("Claude: one call, against a bare post", "ours_call", "bare_call", env, goal=0.8, size=1000)


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
