"""What goes in comes out: some of the examples that `python -m tests.values` makes by the hundred thousand."""

import random

import pandas as pd
import pytest

from kit.synap.errors import SynapInputError
from tests.values import cells, running, table
from tests.values.model import parsed, problem, refused
from tests.values.paths import Services

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def services(lab):
    return Services(lab.s2, lab.kimberlite, lab.synap)


@pytest.mark.parametrize("service", ["s2", "kimberlite", "synap"])
def test_what_is_appended_comes_back_on_all_paths(services, service, seed):
    running.run(services, [service], 100, seed, slow=1)


GIVEN = [one for one in cells.SINGLES if not isinstance(one.value, str | bytes | bytearray | memoryview)]


def kept_of(value):
    """A stored value as JSON; None is a null."""
    return parsed(value.encode() if isinstance(value, str) else value)


def test_keys_and_queues_keep_the_same_forms_as_logs(lab):
    syn = lab.synap
    if "values" not in syn.client.queue.list():
        syn.client.queue.create("values")
    for given in GIVEN:
        if refused(given.cell):
            for act in (lambda v: syn.client.kv.set("values", v), lambda v: syn.publish("values", [v], "queue")):
                with pytest.raises(SynapInputError):
                    act(given.value)
            continue
        if not (isinstance(given.value, float) and given.value != given.value):  # a key that has nothing is no key
            syn.client.kv.set("values", given.value)
            assert problem(given.cell, kept_of(syn.client.kv.get("values"))) is None, given
        syn.publish("values", [given.value, {"a": given.value}], "queue")
        found = [parsed(one) for one in syn.drain("values", 2, body="bytes")["body"]]
        assert [problem(given.cell, found[0]), problem({"a": given.cell}, found[1])] == [None, None]


def test_texts_and_bytes_are_kept_as_they_are_in_keys_and_queues(lab):
    syn = lab.synap
    if "values-raw" not in syn.client.queue.list():
        syn.client.queue.create("values-raw")
    for text in cells.ODD_TEXTS:
        syn.client.kv.set("values", text)
        assert syn.client.kv.get("values") == text
    given = [*cells.ODD_TEXTS, b"\xff\x00", b"", *(text.encode() for text in cells.ODD_TEXTS)]
    syn.publish("values-raw", given, "queue")
    found = syn.drain("values-raw", len(given), body="bytes")["body"].tolist()
    assert found == [one.encode() if isinstance(one, str) else one for one in given]


@pytest.mark.parametrize("bad", [None, float("nan"), pd.NA, 5, 1.5, b"x", ["a"], "a\ud800"], ids=repr)
def test_a_batch_refuses_what_is_no_text_with_its_row(lab, bad):
    from kit.core.errors import InputError

    for prompts in (["fine", bad], pd.Series(["fine", bad], dtype=object)):
        with pytest.raises(InputError, match=r"prompt 1 (is missing|must be text|contains half)"):
            lab.claude.batch(prompts)


def test_a_batch_takes_columns_of_texts_as_they_are(lab):
    import numpy as np
    import pyarrow as pa

    texts = ["one\u2028two", '"three"']
    for prompts in (texts, pa.chunked_array([texts]), np.array(texts), pd.Series(texts, dtype="string")):
        assert lab.claude.batch(prompts)["prompt"].tolist() == texts


def test_the_table_of_values_in_the_docs_is_true(services, seed):
    page = table.FILE.read_text()
    everything = table.rows()
    assert page.startswith(table.HEAD) and page.endswith(table.TAIL)
    for title, lines in everything.items():
        assert f"\n## {title}\n" in page and all(f"| {row.given} |" in page for row in lines)
    chosen = random.Random(seed).sample([row for lines in everything.values() for row in lines], 12)
    for row in chosen:
        assert "\n| " + " | ".join(table.line_of(services, row)) + " |" in page, row.given
