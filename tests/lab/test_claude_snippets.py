"""Every Python snippet of the reference, run against the lab with only its address and its keys changed.

The reference is read from beside the checkout where it is there. `client`, the package it imports from, is ours.
"""

import ast
import asyncio
import gc
import re
import sys
import types
import warnings
from pathlib import Path

import pytest

import kit.claude
from tests.lab.claudelite import ClaudeLab

pytestmark = pytest.mark.lab

GUIDES = sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("002_*.txt"))
needs_guide = pytest.mark.skipif(not GUIDES, reason="the reference is not beside this checkout (shared/seeds)")
SNIPPETS = re.findall(r"```python\n(.*?)```", GUIDES[0].read_text(), re.DOTALL) if GUIDES else []
NOT_PYTHON = "response.id           # str"
IN_A_LOOP = "asyncio.run(main())"


def parses(snippet):
    try:
        compile(snippet, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError:
        return False
    return True


VALID = [snippet for snippet in SNIPPETS if parses(snippet)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = ClaudeLab(tmp_path_factory.mktemp("claude"))
    for key in ("YOUR_API_KEY", "YOUR_KEY", "KEY"):
        lab.make_key("guide", key=key)
    yield lab
    lab.close()


@pytest.fixture
def world(lab, monkeypatch, tmp_path):
    """What a reader has by then: the package, the variables, a client, and some results."""
    monkeypatch.setitem(sys.modules, "client", kit.claude)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the guide adds to it
    dotenv = types.ModuleType("dotenv")
    dotenv.load_dotenv = lambda: False
    monkeypatch.setitem(sys.modules, "dotenv", dotenv)
    monkeypatch.setenv("CLAUDE_API_KEY", lab.key)
    monkeypatch.setenv("CLAUDE_API_URL", lab.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src" / "sub").mkdir(parents=True)
    for name in ("a.py", "sub/b.py"):
        (tmp_path / "src" / name).write_text("x = 1\n")
    client, async_client = kit.claude.ClaudeClient(), kit.claude.AsyncClaudeClient()
    results = client.batch(["Count to 2"])
    scope = {"__name__": "guide", **{name: getattr(kit.claude, name) for name in kit.claude.__all__}}
    # What the guide has imported when it comes to a snippet, unless the snippet imports it itself.
    del scope["TimeoutError"], scope["PermissionError"]
    scope |= {"client": client, "async_client": async_client, "results": results, "result": results.results[0]}
    del async_client
    yield scope
    client.close()
    # The guide leaves its clients open; what they hold goes here, and not in the middle of another test.
    scope.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def run(snippet, scope, lab):
    code = compile(snippet.replace("http://localhost:8006", lab.url), "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, scope)
    if asyncio.iscoroutine(made):
        asyncio.run(made)


@needs_guide
def test_the_guide_has_the_snippets_that_are_run_here():
    assert len(SNIPPETS) == 25
    assert [snippet for snippet in SNIPPETS if not parses(snippet)] == [
        snippet for snippet in SNIPPETS if snippet.startswith(NOT_PYTHON)
    ]


@needs_guide
@pytest.mark.parametrize(
    "snippet", VALID, ids=[f"{n}-{snippet.split(chr(10))[0][:30]}" for n, snippet in enumerate(VALID)]
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the guide leaves its clients open
def test_a_snippet(snippet, world, lab, capsys):
    run(snippet, world, lab)
    said = capsys.readouterr()
    assert "rror" not in said.out or "Error:" not in said.out.replace("✗", "Error:"), said.out
    if "print(" in snippet and "except" not in snippet and "bugs" not in snippet and ".endswith" not in snippet:
        assert said.out.strip()


@needs_guide
def test_the_fields_of_the_listing_that_is_not_python(world):
    (listing,) = [snippet for snippet in SNIPPETS if snippet.startswith(NOT_PYTHON)]
    response = world["client"].complete("hi")
    fields = re.findall(r"^(response|  )\.(\w+) +#", listing, re.M)
    assert len(fields) == 8
    for owner, name in fields:
        assert getattr(response if owner == "response" else response.usage, name) is not None


@needs_guide
def test_each_exception_of_the_guide_is_caught_where_it_says(world, lab, capsys):
    """The second example of errors catches the builtins of those names, as it imports neither."""
    (snippet,) = [one for one in VALID if "Would cost" in one]
    outcomes = {
        "x [lab fail=timeout]": ("timeout=1", "Task timed out"),
        "x [lab tokens=1000000/1000000]": ('model="opus"', "Would cost $90.0"),
        "x [lab fail=budget]": ("timeout=5", "Would cost $None"),
    }
    for description, (more, said) in outcomes.items():
        run(snippet.replace('description="..."', f'description="{description}", {more}'), world, lab)
        assert capsys.readouterr().out.strip() == said
    free = kit.claude.ClaudeClient(lab.url, lab.make_key("free", "free"))
    world["client"].close()
    run(snippet, world | {"client": free}, lab)
    assert capsys.readouterr().out.strip().startswith("Permission denied")
    free.close()


@needs_guide
def test_asyncio_run_inside_a_real_kernel(lab):
    from jupyter_client.manager import start_new_kernel

    snippets = [one for one in VALID if IN_A_LOOP in one]
    assert snippets
    manager, kernel = start_new_kernel(kernel_name="python3")
    try:
        said = []

        def execute(code):
            answer = kernel.execute_interactive(
                code, timeout=60, output_hook=lambda message: said.append(message["content"].get("text", ""))
            )
            assert answer["content"]["status"] == "ok", answer["content"]

        execute("%load_ext kit\nimport sys, kit.claude; sys.modules['client'] = kit.claude")
        for snippet in snippets:
            execute(snippet.replace("http://localhost:8006", lab.url))
        assert "completed" in "".join(said)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
