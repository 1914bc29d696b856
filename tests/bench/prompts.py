"""Prompts over a frame, on one embedded server in one run. Run: python -m tests.bench.prompts

1 000 small prompts with typed columns stand beside the same batch without any. Then what must take less than a second:
10 000 answers read, checked and put into a frame, and 100 000 questions looked up in a cache that has them all.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from .measure import Figures, Pairs, Side, size
from .measure import main as run

COLUMNS = "topic: billing|delivery|praise, score: float 0..1, sure: bool"


def _timed_batch(**columns: str) -> Figures:
    import pandas as pd

    import kit

    mail = pd.DataFrame({"body": [f"mail {n}: I was charged {n % 9 + 1} times" for n in range(size())]})
    c = kit.connect("claude")
    c.batch("{body}?", "haiku", over=mail.head(5), cache=False, **columns)
    started = time.perf_counter()
    frame = c.batch("{body}", "haiku", over=mail, cache=False, **columns)
    took = time.perf_counter() - started
    assert (frame["status"] == "completed").all()
    c.close()
    return {"time": took}


def with_columns() -> Figures:
    return _timed_batch(columns=COLUMNS)


def without_columns() -> Figures:
    return _timed_batch()


def reading() -> Figures:
    """Seconds of a core for the answers of a whole batch, prose and fences among them: read, checked, put into columns."""
    import pandas as pd

    from kit.claude.wire.answers import column_values, values_in
    from kit.claude.wire.columns_spec import Unfit, spec_of

    spec = spec_of(COLUMNS + ", n: int 0..10, tags: list[str], reason: str")
    texts = []
    for n in range(size()):
        value = {"topic": "billing", "score": n % 100 / 100, "sure": n % 2 == 0, "n": n % 11, "tags": ["a", str(n)]}
        text = json.dumps({**value, "reason": f"it speaks of invoice {n} and of being charged twice for one thing"})
        texts.append((text, f"Sure, here it is:\n```json\n{text}\n```", text[: len(text) // 2])[n % 3])
    started = time.process_time()
    rows = []
    for text in texts:
        try:
            rows.append(values_in(text, spec))
        except Unfit:
            rows.append((None,) * len(spec.columns))
    frame = pd.DataFrame(
        {column.name: column_values(column, [row[n] for row in rows]) for n, column in enumerate(spec)}
    )
    took = time.process_time() - started
    assert frame["topic"].isna().sum() == len(range(2, size(), 3))
    return {"time": took}


def looking_up() -> Figures:
    """Seconds of a core for as many questions as there are rows, all of them known."""
    from kit.claude.client.batches.cache import Cache, Keys
    from kit.claude.types import BatchResult, Usage
    from kit.claude.wire.columns_spec import spec_of

    spec = spec_of(COLUMNS)
    prompts = [spec.asked(f"mail {n}: I was charged twice") for n in range(size())]
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "answers.sqlite")
        kind = Keys("http://localhost:8006", "haiku", spec.text)
        keys = [kind.of(prompt) for prompt in prompts]
        for at in range(0, len(keys), 5000):
            entries = [
                (key, "http://localhost:8006", "haiku", prompt, spec.text, 0)
                for key, prompt in zip(keys[at : at + 5000], prompts[at : at + 5000], strict=True)
            ]
            cache.claim(entries)
            done = BatchResult("", "", "completed", '{"topic": "billing"}', Usage(40, 10, 50), 0.0001, None, True)
            cache.came([(entry[0], done) for entry in entries])
        cache.close()
        started = time.process_time()
        kind = Keys("http://localhost:8006", "haiku", spec.text)
        keys = [kind.of(prompt) for prompt in prompts]
        found = Cache(cache.path).find(keys)
        took = time.process_time() - started
        assert len(found) == size() and None not in found.values()
    return {"time": took}


SIDES: dict[str, Side] = {side.__name__: side for side in (with_columns, without_columns, reading, looking_up)}


def rows(pairs: Pairs) -> None:
    import kit

    # As many requests as it takes: the figures are not about the limit.
    os.environ["KIT_CLAUDE_RATE_LIMIT"] = "1000000000"
    with kit.Lab("claude", demo=False, join=False) as lab:
        name = "Claude: 1 000 small prompts with columns, against the batch without"
        pairs.compare(name, "with_columns", "without_columns", lab.env(), goal=1.1, size=1000)
    pairs.alone(
        "Claude: 10 000 answers read and checked, in seconds of one core", "reading", {}, {"time": 1.0}, size=10_000
    )
    pairs.alone(
        "Claude: 100 000 rows looked up in the cache, in seconds of one core",
        "looking_up",
        {},
        {"time": 1.0},
        size=100_000,
    )


if __name__ == "__main__":
    run(__spec__.name, rows, SIDES, __doc__)
