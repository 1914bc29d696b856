"""`%load_ext kit` in a real kernel: what a user types, and what the cell shows."""

import json
import os

import pytest

from .kernels import Notebook

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def notebook(lab):
    runtime = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]}
    book = Notebook({**lab.env(), **runtime})
    assert book.run("%load_ext kit")[2] is None
    yield book
    book.close()


def test_asyncio_run_works_in_cells(notebook):
    code = (
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 41 + 1\nprint(asyncio.run(main()))"
    )
    assert notebook.text(code) == "42\n"
    assert notebook.text("print(await main())") == "42\n"


def test_sql_on_amdahl(notebook):
    notebook.run('least = 0.5\nwanted = "it\'s; drop"')
    shown = notebook.text("%%amdahl\nselect count(*) as n from interactions where sentiment > {least}")
    assert shown.split()[0] == "n"
    assert notebook.text("%amdahl select {wanted} as said").split()[-1] == "drop"
    notebook.run("%%amdahl found << --limit 3\nselect * from interactions")
    assert notebook.text("print(len(found), type(found).__name__)") == "3 DataFrame\n"


def test_sql_on_kimberlite(notebook):
    notebook.run("name = \"x' or '1'='1\"")
    notebook.run("%kql create table magic_notes (id bigint primary key, note text)")
    notebook.run("%kql insert into magic_notes values (1, {name}), (2, 'plain {name}')")
    notebook.run("%%kql notes <<\nselect * from magic_notes where note = {name} or note = 'plain {name}'\norder by id")
    assert notebook.text("print(list(notes['note']))") == str(["x' or '1'='1", "plain {name}"]) + "\n"


def test_sql_on_what_the_notebook_holds(notebook):
    notebook.run("import kit, pandas as pd\nlab = kit.Lab()\norders = lab.s2['demo-shop']['orders']")
    notebook.run("few = pd.DataFrame({'city': ['Graz', 'Porto']})\nleast = 5")
    notebook.run(
        "%%sql found <<\nselect city, count(*) as n from orders join few using (city)\n"
        "where amount >= {least} group by 1 order by 1"
    )
    expected = "orders.read().query('amount >= 5 and city in [\"Graz\", \"Porto\"]').groupby('city').size().tolist()"
    assert notebook.text(f"print(found['n'].tolist() == {expected}, list(found['city']))") == "True ['Graz', 'Porto']\n"
    assert notebook.text("%sql select {least} + 1 as more").split()[-1] == "6"
    wrong = notebook.error("%%sql\nselect * from nothing_like_it")
    assert "QueryError" in wrong and "tables: " in wrong and "few" in wrong
    assert len(wrong.splitlines()) < 14 and "site-packages" not in wrong
    notebook.run("del lab")


def test_errors_are_short_and_say_what_to_do(notebook):
    wrong = notebook.error("%%amdahl\nselect nothing from interactions")
    assert "AmdahlError" in wrong and "nothing" in wrong
    assert len(wrong.splitlines()) < 12 and "site-packages" not in wrong
    assert "there is no option --rows" in notebook.error("%%amdahl --rows 5\nselect 1")
    missing = notebook.error("%%kql\nselect {not_there}")
    assert "{not_there}: NameError" in missing
    assert "is a list: a parameter is one value" in notebook.error("%kql select {[1, 2]}")


def test_status_and_help(notebook):
    shown = notebook.text("%kit")
    assert "asyncio.run in cells  yes" in shown and "amdahl" in shown
    assert "started" in notebook.text("%kit calls")
    assert "unknown word" in notebook.error("%kit nonsense")


def test_the_lab_in_a_line(notebook):
    shown = notebook.text("%lab amdahl")
    assert "amdahl at http://127.0.0.1" in shown
    assert "up" in notebook.text("%lab status")
    notebook.run("%%amdahl n <<\nselect count(*) as n from interactions")
    assert notebook.text("print(n['n'][0] > 0)") == "True\n"
    notebook.run("%lab stop")
    assert "start one with %lab" in notebook.error("%lab status")
    notebook.run("lab = 5")
    assert "is not a lab" in notebook.error("%lab")
    notebook.run("del lab")


def test_completion(notebook):
    assert {"s2", "kimberlite", "status"} <= set(notebook.complete("%lab "))
    assert "--limit" in notebook.complete("%%amdahl --l")
    assert {"sentiment"} <= set(notebook.complete("%%amdahl\nselect sent"))
    assert {"magic_notes"} <= set(notebook.complete("%%kql\nselect * from magic_n"))
    notebook.run("import pandas\nmy_frame = pandas.DataFrame({'a': [1]})")
    assert "my_frame" in notebook.complete("%%sql\nselect * from my_f")


def test_nothing_secret_is_shown(notebook, lab):
    everything = json.dumps([notebook.run(code)[0] for code in ("%kit", "%kit calls", "%%amdahl\nselect 1 as a")])
    for name, value in lab.env().items():
        if "KEY" in name or "TOKEN" in name:
            assert value not in everything


def test_unloading_takes_everything_back(lab):
    book = Notebook(lab.env())
    try:
        before = book.text("import asyncio; print(asyncio.run.__module__)")
        book.run("%load_ext kit")
        book.run("%unload_ext kit")
        assert book.text("print(asyncio.run.__module__)") == before
        assert "not found" in book.text("%kql select 1") and "not found" in book.text("%%kql\nselect 1")
        assert "cannot be called from a running event loop" in book.error(
            "async def main(): return 1\ncoroutine = main()\ntry:\n    asyncio.run(coroutine)\nfinally:\n    coroutine.close()"
        )
        book.run("%load_ext kit")
        assert book.text("print(asyncio.run(main()))") == "1\n"
        assert book.text("print(await main())") == "1\n"
    finally:
        book.close()


def test_prompts_over_a_frame(notebook):
    notebook.run(
        "import pandas as pd\nmail = pd.DataFrame({'body': ['charged twice', 'parcel late']}, index=['a', 'b'])"
    )
    notebook.run(
        '%%claude found << --over mail --columns "topic: billing|delivery" --model haiku --keep --max-cost 0.5\n'
        "What is it about? {body} {{ok}}"
    )
    assert notebook.text("print(list(found.columns)[:2], found['topic'].tolist(), list(found.index))") == (
        "['body', 'topic'] ['billing', 'delivery'] ['a', 'b']\n"
    )
    notebook.run("shape = {'sure': bool}\nword = 'thanks'")
    shown = notebook.text("%%claude --columns shape --model haiku\nIs this friendly? {word}")
    assert "sure" in shown and "completed" in shown
    assert "no column 'bdy'" in notebook.error("%%claude --over mail\n{bdy}")
    assert "--first is for --over" in notebook.error("%%claude --first 3\nhello")
    assert "did you mean 'float'" in notebook.error('%%claude --columns "a: flaot"\nhello')
