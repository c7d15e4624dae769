"""The labeler's reply: strict, bounded, and clean, whatever comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sae.labels.quoting import is_hidden
from sae.labels.reply import LONGEST_LABEL, SCHEMA, clean, read_label

GOOD = {"label": "the Golden Gate Bridge", "explanation": "Active on its name.", "confidence": 0.9}


def test_a_good_reply_is_taken_bare_or_in_one_fence():
    for text in [json.dumps(GOOD), f"\n {json.dumps(GOOD)} ", f"```json\n{json.dumps(GOOD)}\n```"]:
        assert read_label(text).label == "the Golden Gate Bridge"
        assert read_label(text).confidence == 0.9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the Golden Gate Bridge",
        f"Here it is: {json.dumps(GOOD)}",
        json.dumps(GOOD) * 2,
        json.dumps([GOOD]),
        json.dumps({"label": "x"}),
        json.dumps(GOOD | {"note": "and more"}),
        json.dumps(GOOD | {"label": 3}),
        json.dumps(GOOD | {"label": None}),
        json.dumps(GOOD | {"label": " \u200b\n"}),
        json.dumps(GOOD | {"label": "x" * (LONGEST_LABEL + 1)}),
        json.dumps(GOOD | {"explanation": ""}),
        json.dumps(GOOD | {"confidence": "high"}),
        json.dumps(GOOD | {"confidence": True}),
        json.dumps(GOOD | {"confidence": 1.5}),
        json.dumps(GOOD | {"confidence": float("nan")}),
        '{"label": "x", "explanation": "y", "confidence": 1e999}',
        "[" * 100_000,
        "null",
        "{}",
    ],
)
def test_anything_else_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match=r"reply|label|explanation|confidence"):
        read_label(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\ntwo\tthree\r\n", "one two three"),
        ("\u202eevil\u202c", "evil"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("nul\x00\x1b[31mred", "nul [31mred"),
        ("line\u2028separator", "line separator"),
        ("half \ud83d pair", "half ? pair"),
        ("cafe\u0301", "café"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_what_is_not_seen_is_taken_out(text, expected):
    assert clean(text) == expected


@given(st.dictionaries(st.sampled_from(sorted(SCHEMA["required"])), st.text() | st.floats() | st.booleans()))
def test_a_reply_that_passes_is_bounded_and_visible(reply):
    try:
        written = read_label(json.dumps(reply))
    except ValueError:
        return
    assert 0 < len(written.label) <= LONGEST_LABEL
    assert 0 <= written.confidence <= 1
    assert not any(is_hidden(character) for character in written.label + written.explanation)
