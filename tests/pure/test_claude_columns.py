"""What `columns=` means, how answers are read, and how prompts are filled; nothing is sent here."""

import dataclasses
import enum
import hashlib
import json
from typing import Annotated, Literal

import pandas as pd
import pytest

from kit.claude.explore.scoring import compare
from kit.claude.wire.answers import agreed, column_values, values_in
from kit.claude.wire.columns_spec import VERSION, Column, Unfit, spec_of
from kit.claude.wire.template import filled
from kit.core.errors import InputError

SHORT = "topic: billing|delivery|praise, score: float 0..1, n?: int 0..10, sure: bool, tags: list[str], why (in brief)"


class Topic(enum.Enum):
    BILLING = "billing"
    PRAISE = "praise"


@dataclasses.dataclass
class Mail:
    topic: Topic
    score: Annotated[float, "how angry"]
    n: int | None
    kind: Literal["a", "b"]
    tags: list[str]


def test_the_short_text():
    spec = spec_of(
        'topic: billing|"in transit"|praise,\n score: float 0..1, n?: int ..10, tags: list[a|b], why: str (in, brief)'
    )
    assert spec.columns == (
        Column("topic", "choice", ("billing", "in transit", "praise")),
        Column("score", "float", low=0, high=1),
        Column("n", "int", high=10, optional=True),
        Column("tags", "choice", ("a", "b"), many=True),
        Column("why", about="in, brief"),
    )
    assert spec_of(spec) is spec
    assert spec.asked("Judge").splitlines()[-3] == '"n": a whole number to 10, or null'


def test_a_dict_a_dataclass_and_the_text_mean_the_same():
    given = {
        "topic": ["billing", "praise"],
        "score": "float",
        "n": int | None,
        "kind": Literal["a", "b"],
        "tags": list[str],
    }
    spec = spec_of(given)
    assert spec_of("topic: billing|praise, score: float, n?: int, kind: a|b, tags: list[str]") == spec
    told = spec_of(Mail)
    assert told.columns[1].about == "how angry"
    assert [dataclasses.replace(column, about="") for column in told] == list(spec)


def test_a_pydantic_model():
    pydantic = pytest.importorskip("pydantic")

    class Ticket(pydantic.BaseModel):
        topic: Literal["billing", "praise"]
        score: float = pydantic.Field(ge=0, le=1, description="how angry")
        note: str | None = None

        @pydantic.field_validator("score")
        @classmethod
        def never_half(cls, value):
            assert value != 0.5, "half is none"
            return value

    spec = spec_of(Ticket)
    assert spec.columns[1] == Column("score", "float", low=0, high=1, about="how angry")
    told = pydantic.create_model("Told", topic=(str, pydantic.Field(description="x" * 400)))
    assert spec_of(told).columns[0].about == "x" * 300
    assert values_in('{"topic": "praise", "score": 0.25}', spec) == ("praise", 0.25, None)
    with pytest.raises(Unfit, match="half is none"):
        values_in('{"topic": "praise", "score": 0.5}', spec)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("topic: flaot", "did you mean 'float'"),
        ("topic: a|A", "equal choices"),
        ("topic: list[list[str]]", "list of lists"),
        ("n: int 5..1", "are reversed"),
        ("status: str", "is reserved"),
        ("a: str, a: int", "twice"),
        ("", "0 columns"),
        ({"a": complex}, "not a type for a column"),
        ({"a": ["x"]}, "from 2 to"),
        ({3: str}, "not the name"),
        (5, "short text"),
        ("a\ud800: str", "half of a character"),
    ],
)
def test_columns_that_are_none(columns, words):
    with pytest.raises(InputError, match=words):
        spec_of(columns)


GOOD = {"topic": "billing", "score": 0.5, "n": 3, "sure": True, "tags": ["x"], "why (in brief)": "late"}
LINE = json.dumps(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"```json\n{LINE}\n```",
        f"Of course {{topic}}: {LINE} - was that {{all}}?",
        f"{LINE}\n{LINE}",
        LINE.replace('"billing"', '" Billing "').replace("3", "3.0"),
        LINE.replace("}", ', "more": {"deep": [1]}}'),
        LINE.replace('"n": 3', '"n": 3e0'),
    ],
)
def test_an_answer_that_fits(text):
    assert values_in(text, spec_of(SHORT)) == tuple(GOOD.values())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LINE[:-1], "not json"),
        (LINE + LINE.replace("billing", "praise"), "not json"),
        ('{"deeper": ' + LINE, "not json"),
        ("no object, {just} words", "not json"),
        ("", "not json"),
        ("{'topic': 'billing'}", "not json"),
        ('{"a":' * 100_000, "not json"),
        (json.dumps({"answer": GOOD}), "wrong value"),
        (LINE.replace("billing", "refunds"), "wrong value"),
        (LINE.replace("0.5", "NaN"), "wrong value"),
        (LINE.replace("0.5", "-Infinity"), "wrong value"),
        (LINE.replace("0.5", "1e999"), "wrong value"),
        (LINE.replace("0.5", "1.01"), "wrong value"),
        (LINE.replace("0.5", '"0.5"'), "wrong value"),
        (LINE.replace("0.5", "true"), "wrong value"),
        (LINE.replace('"n": 3', '"n": 3.5'), "wrong value"),
        (LINE.replace('"n": 3', '"n": true'), "wrong value"),
        (LINE.replace("true", '"true"'), "wrong value"),
        (LINE.replace("true", "null"), "wrong value"),
        (LINE.replace('["x"]', '"x"'), "wrong value"),
        (LINE.replace('["x"]', "[1]"), "wrong value"),
        (LINE.replace("late", "\\ud800"), "wrong value"),
        (LINE.replace("}", ', "topic": "praise"}'), "wrong value"),
        (json.dumps({name: one for name, one in GOOD.items() if name != "score"}), "wrong value"),
    ],
)
def test_an_answer_that_does_not_fit(text, reason):
    with pytest.raises(Unfit) as caught:
        values_in(text, spec_of(SHORT))
    assert caught.value.reason == reason and caught.value.why


def test_whole_numbers_that_no_column_holds():
    spec = spec_of("n: int")
    assert values_in('{"n": 9223372036854775807}', spec) == (2**63 - 1,)
    for text in ("9223372036854775808", "1e300", "9" * 5000):
        with pytest.raises(Unfit):
            values_in(f'{{"n": {text}}}', spec)


def test_by_which_columns_answers_agree():
    assert spec_of("why, topic: a|b, score: float, n?: int, ok: bool").compared == ["topic", "n", "ok"]
    assert spec_of("why, score: float").compared == ["why", "score"]


def test_how_long_an_answer_is_guessed_to_be():
    """Each key, and what its kind takes; a list as four of its items. The estimate of a batch is made of it."""
    assert spec_of("ok: bool").likely_tokens == 11 and spec_of("why").likely_tokens == 48
    assert spec_of("topic: a|b, score: float, n?: int").likely_tokens == 13 + 12 + 12
    assert spec_of("tags: list[str]").likely_tokens == 168 and spec_of("ns: list[int]").likely_tokens == 24


def test_columns_of_a_frame_have_one_type_whatever_is_missing():
    spec = spec_of("a: x|y, b: float, c: int, d: bool, e: str, f: list[int]")
    full = [["x", "y"], [1.5, 2.0], [1, 2], [True, False], ["s", "t"], [[1], []]]
    kinds = []
    for values in (full, [[None, None]] * 6, [[]] * 6):
        frame = pd.DataFrame({one.name: column_values(one, given) for one, given in zip(spec, values, strict=True)})
        kinds.append([str(kind) for kind in frame.dtypes])
        assert frame["a"].cat.categories.tolist() == ["x", "y"]
    assert kinds[0] == kinds[1] == kinds[2]
    assert kinds[0] == ["category", "float64", "Int64", "boolean", "str", "list<item: int64>[pyarrow]"]


def test_what_most_say():
    assert agreed(Column("a", "int"), [2, 1, 1, None]) == (1, 2)
    assert agreed(Column("a", "float"), [0.1, 0.9, 0.2]) == (0.2, 1)
    assert agreed(Column("a", "choice", ("x", "y", "z")), ["x", "z", "y", "z"]) == (
        "z",
        2,
    )  # the one in the middle is y
    assert agreed(Column("a", many=True), [["x"], ["y"], ["x"]]) == (["x"], 2)
    assert agreed(Column("a", "float", many=True), [[0.1], [0.3], [0.2], [0.3]]) == ([0.3], 2)
    assert agreed(Column("a"), []) == (None, 0)


def test_rows_are_filled_with_values_and_never_with_code():
    df = pd.DataFrame({"body": ["a {body} {0.__class__} %s", "<script>{{}}"], "n": [1, 2]}, index=["x", "y"])
    prompts, frame = filled("Say {{this}} of {body} ({n})", df)
    assert prompts == ["Say {this} of a {body} {0.__class__} %s (1)", "Say {this} of <script>{{}} (2)"]
    assert frame is df
    assert filled("{value}!", pd.Series([1.5]))[0] == ["1.5!"]
    assert filled("{t}", [{"t": pd.Timestamp("2026-01-02")}])[0] == ["2026-01-02T00:00:00"]


@pytest.mark.parametrize(
    ("template", "data", "words"),
    [
        ("{bdy}", {"body": ["a"]}, "did you mean 'body'"),
        ("{body.upper()}", {"body": ["a"]}, "no column 'body.upper\\(\\)'"),
        ('{"a": 1}', {"body": ["a"]}, "no column"),
        ("body", {"body": ["a"]}, "names no column"),
        ("{body", {"body": ["a"]}, "single '{'"),
        ("{body}", {"body": ["a", None]}, "row 1 is missing"),
        ("{body}", {"body": [float("nan")]}, "is missing"),
        ("{body}", {"body": [b"a"]}, "bytes"),
        ("{body}", {"body": ["a\ud800"]}, "half of a character"),
        (["{body}"], {"body": ["a"]}, "one text"),
    ],
)
def test_what_cannot_be_filled_is_refused(template, data, words):
    with pytest.raises(InputError, match=words):
        filled(template, pd.DataFrame(data, dtype=object))


def test_a_whole_number_written_with_a_point_is_exact_or_refused():
    spec = spec_of("a: int")
    for text, value in (("7.0", 7), ("9007199254740992.0", 2**53), ("-9007199254740992.0", -(2**53)), ("1e3", 1000)):
        assert values_in(f'{{"a": {text}}}', spec) == (value,)
    for text in ("7.5", "9007199254740994.0", "-9007199254740994.0", "1e300"):
        with pytest.raises(Unfit, match="not a whole number"):
            values_in(f'{{"a": {text}}}', spec)
    for text in (str(2**63), str(-(2**63) - 1)):
        with pytest.raises(Unfit, match="too large"):
            values_in(f'{{"a": {text}}}', spec)
    assert values_in(f'{{"a": {-(2**63)}}}', spec) == (-(2**63),)


def test_another_instruction_is_another_version():
    """Answers are cached under it: those to an earlier text must not be given for a later one."""
    told = hashlib.sha256(spec_of(SHORT).asked("Judge.").encode()).hexdigest()
    assert (VERSION, told[:16]) == (1, "ce2f92d5f9c4b207")


def test_a_choice_of_no_text_is_refused():
    assert spec_of('a: "x"|"y|z"').columns[0].choices == ("x", "y|z")
    for spec in ('a: ""|x', 'a: " "|x'):
        with pytest.raises(InputError, match="must be text"):
            spec_of(spec)


def test_how_many_choices_and_columns_there_may_be():
    for count, good in ((1, False), (2, True), (500, True), (501, False)):
        texts = tuple(f"t{n}" for n in range(count))
        if good:
            assert Column("a", "choice", texts).checked().choices == texts
        else:
            with pytest.raises(InputError, match=f"has {count} choices: give from 2 to 500"):
                Column("a", "choice", texts).checked()
    assert len(spec_of({f"c{n}": str for n in range(100)}).columns) == 100
    for count in (0, 101):
        with pytest.raises(InputError):
            spec_of({f"c{n}": str for n in range(count)})


def test_a_value_of_a_dict_goes_into_the_prompt_as_it_is():
    rows = [{"n": 2**53 + 1}, {"n": 0.5}, {"n": True}]
    assert filled("is {n}?", rows)[0] == [f"is {2**53 + 1}?", "is 0.5?", "is True?"]
    assert filled("is {n}?", [{"n": 1}, {"n": 2.5}])[0] == ["is 1?", "is 2.5?"]
    with pytest.raises(InputError, match="column 'n', row 1 is missing"):
        filled("is {n}?", [{"n": 1}, {"m": 2}])


def test_labels_and_answers_are_compared_by_their_values():
    for answers in (pd.array([1, 2, None], "Int64"), [1.0, 2.0, None]):
        compared = compare(pd.Series(answers, name="n"), pd.Series([1.0, 2.0, 2.0]))
        assert (compared.right, compared.rows) == (2, 3) and compared.classes.index.tolist() == ["1", "2"]
    sure = compare(pd.Series(pd.array([True, None], "boolean")), [True, False])
    assert sure.right == 1 and sure.wrong["answer"].tolist() == ["(none)"]


def test_a_missing_answer_is_not_right_where_a_label_is_called_none():
    answers = pd.Series(pd.Categorical(["x", None, "(none)"], categories=["x", "(none)"]), name="t")
    compared = compare(answers, ["x", "(none)", "(none)"])
    assert compared.right == 2 and compared.wrong.index.tolist() == [1]
    assert compared.confusion.to_numpy().tolist() == [[1, 0, 0], [0, 1, 1]]
