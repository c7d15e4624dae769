"""A wrong concept list gets two lines: what is wrong, and how a concept reads."""

import pytest

from sae.config.concept_list import read_concept_list
from sae.errors import ConfigError

GOOD = """
concepts:
  - {name: Golden Gate Bridge, kind: landmark, names: [Puente Golden Gate], positive: [a, b], negative: [c, d]}
"""


def test_a_good_list_is_read(tmp_path):
    path = tmp_path / "concepts.yaml"
    path.write_text(GOOD)

    (concept,) = read_concept_list(path).concepts

    assert concept.concept_id == "listed:landmark:golden-gate-bridge"
    assert (concept.positive, concept.negative) == (("a", "b"), ("c", "d"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("concepts: [", ["concepts.yaml: not YAML"]),
        ("- a", ["a mapping with the key `concepts`"]),
        ("concepts: []", ["`concepts`"]),
        ("concepts: [{kind: a, positive: [a, b], negative: [c, d]}]", ["`concepts.0.name` is missing"]),
        (GOOD.replace("names:", "alias:"), ["unknown key `concepts.0.alias`", "positive"]),
        (GOOD.replace("[a, b]", "[a]"), ["`concepts.0.positive`"]),
        (GOOD.replace("[a, b]", "[a, 3]"), ["`concepts.0.positive.1`", "found 3"]),
        (GOOD.replace("[a, b]", "[a, c]"), ["'c' stands twice under 'Golden Gate Bridge'"]),
        (GOOD.replace("[a, b]", "[a, ' ']"), ["is empty"]),
        (GOOD.replace("kind: landmark", "kind: ../a"), ["`concepts.0.kind`"]),
        (GOOD + GOOD.splitlines()[2], ["'Golden Gate Bridge' (landmark) stands twice"]),
    ],
)
def test_what_is_wrong_stands_in_two_lines(text, words, tmp_path):
    path = tmp_path / "concepts.yaml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        read_concept_list(path)

    said = str(caught.value)
    assert len(said.splitlines()) == 2
    assert "A concept reads {name:" in said.splitlines()[1]
    for word in words:
        assert word in said


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_is_not_there_or_not_text_is_refused(content, tmp_path):
    path = tmp_path / "concepts.yaml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_concept_list(path)

    assert len(str(caught.value).splitlines()) == 2
