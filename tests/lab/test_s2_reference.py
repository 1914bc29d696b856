"""S2's own reference: each class, method and function that it declares is there with the same arguments."""

import ast
import asyncio
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import kit
import kit.s2

REFERENCE = [
    path
    for path in sorted((Path(__file__).parents[3] / "shared" / "seeds").glob("*.txt"))
    if "class s2_sdk.S2(" in path.read_text()
]
pytestmark = pytest.mark.skipif(not REFERENCE, reason="the reference is not beside this checkout (shared/seeds)")
_DECLARED = re.compile(
    r"^(?P<kind>class |async |enum |classmethod |property )?(?P<name>(?:s2_sdk\.)?\w+)"
    r"(?:\((?P<arguments>.*)\))?(?P<returns>[^()]*)\[source\]$"
)
MORE = {"stream_config"}
"""Arguments that the official client takes beside those of its reference."""
FROM_ENVIRONMENT = {"access_token"}


def declared():
    """What the reference declares: where it stands, and its arguments with their defaults."""
    owner = None
    for line in REFERENCE[0].read_text().splitlines():
        found = _DECLARED.match(line.strip())
        if found is None or found["kind"] == "property ":
            continue
        name = found["name"]
        if name.startswith("s2_sdk."):
            name = name.removeprefix("s2_sdk.")
            owner = name if found["kind"] in ("class ", "enum ") else None
            yield name, found["arguments"] if found["kind"] != "enum " else None, False
        elif owner is not None and found["arguments"] is not None:
            yield f"{owner}.{name}", found["arguments"], found["kind"] == "async "


def arguments_of(text):
    """Names, whether by keyword alone, and defaults as they are written."""
    node = ast.parse(f"def f({text}): ...").body[0].args
    defaults = [None] * (len(node.args) - len(node.defaults)) + [ast.unparse(one) for one in node.defaults]
    found = [(arg.arg, False, default) for arg, default in zip(node.args, defaults, strict=True)]
    by_keyword = zip(node.kwonlyargs, node.kw_defaults, strict=True)
    return found + [(arg.arg, True, None if one is None else ast.unparse(one)) for arg, one in by_keyword]


def value_of(written):
    """A default of the reference, as kit has it."""
    from datetime import timedelta

    return eval(written, {"timedelta": timedelta, **vars(kit.s2)})


@pytest.mark.parametrize("entry", list(declared()) if REFERENCE else [], ids=lambda entry: entry[0])
def test_it_is_there_as_declared(entry):
    name, arguments, awaited = entry
    found = kit.s2
    for part in name.split("."):
        found = getattr(found, part)
    if not arguments:
        return
    own = [one for one in inspect.signature(found).parameters.values() if one.name != "self"]
    wanted = arguments_of(arguments)
    assert [one.name for one in own if one.name not in MORE][: len(wanted)] == [one[0] for one in wanted]
    for ours, (_, by_keyword, default) in zip([one for one in own if one.name not in MORE], wanted, strict=False):
        assert (ours.kind is inspect.Parameter.KEYWORD_ONLY) == by_keyword
        if default is None:
            # What the environment can give may be left out here.
            assert ours.default is inspect.Parameter.empty or ours.name in FROM_ENVIRONMENT
            continue
        assert ours.default is not inspect.Parameter.empty
        if default != "[]":
            made = str(ours.default) == "<factory>"  # a new one for each object
            assert (getattr(found(), ours.name) if made else ours.default) == value_of(default), ours
    if awaited and not name.endswith("read_session") and "list_all" not in name:
        assert inspect.iscoroutinefunction(found)


def test_its_snippets_run_on_the_lab():
    """With the token and the address of the lab in the environment, and records in the place of dots."""
    text = REFERENCE[0].read_text()
    snippets = [
        textwrap.dedent(one)
        for one in re.findall(r"^(async with .*\n(?:(?:    .*)?\n)*?)(?=\S|\Z)", text, re.MULTILINE)
    ]
    assert len(snippets) == 3
    with kit.Lab("s2", join=False) as lab:
        lab.use()
        scope = {**{name: getattr(kit.s2, name) for name in kit.s2.__all__}, "token": lab.env()["S2_ACCESS_TOKEN"]}

        async def main():
            async with kit.s2.S2(scope["token"], endpoints=kit.s2.Endpoints.from_env()) as s2:
                scope["stream"] = s2["demo-shop"]["orders"]
                for snippet in snippets:
                    body = snippet.replace("records=[...]", 'records=[Record(body=b"hello")]').replace("...", "pass")
                    exec("async def run():\n" + textwrap.indent(body, "    "), scope)
                    await scope["run"]()
                    if "ack" in body:
                        assert (await scope["stream"].check_tail()).seq_num > 5000

        asyncio.run(main())
