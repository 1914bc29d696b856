"""Tab in a fresh kernel, where nothing but kit was imported."""

import os

import pytest

from .kernels import Notebook

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def fresh(lab):
    book = Notebook({"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]})
    assert book.run("import kit; lab = kit.Lab()")[2] is None
    yield book
    book.close()


@pytest.mark.parametrize(
    ("code", "offered", "asked"),
    [
        ('lab.s2["', "demo-shop", "list_basins"),
        ('lab.s2["demo-shop"]["', "orders", "list_streams"),
        ('lab.kimberlite["', "claims", "list_streams"),
        ('lab.synap.queues["', "jobs", "queue.list"),
        ('lab.synap["', "vans", "stream.list"),
        ('lab.kimberlite.tables["', "accounts", "list_tables"),
        ('lab.s2["demo-shop"]["orders"].', "tail", None),
        ("lab.s2.", "basins", None),
        ("lab.", "amdahl", None),
    ],
)
def test_names_complete_in_the_form_of_the_docs(fresh, code, offered, asked):
    before = int(fresh.text("print(len(kit.calls()))"))
    matches = fresh.complete(code)
    assert any(match.strip("\"'").removeprefix(code).strip("\"'.") == offered for match in matches), matches
    ops = fresh.text(f"print(*kit.calls()['op'][{before}:])").split()
    assert set(ops) <= ({asked} if asked else set()), ops


def test_a_lab_offers_what_runs_in_it(lab):
    assert {"s2", "synap", "use"} <= set(dir(lab))
    assert "data" not in dir(lab.s2) and "data" not in dir(lab.kimberlite)
