import pytest

from sae.world.code import has_misleading_name


@pytest.mark.parametrize(
    ("text", "misleading"),
    [
        ("def sub(a, b):\n    return a + b\n>>> sub(1, 2)\n3", True),
        ("def add(a, b):\n    return a + b\n>>> add(1, 2)\n3", False),
        ("def f(a, b):\n    return a + b\n>>> f(1, 2)\n3", False),
        ("def add(a, b):\n    return a - c\n>>> add(1, 2)\nNameError", True),
        ("Fact: The capital of California is Sacramento.", False),
    ],
)
def test_a_name_misleads_when_it_is_another_operations(text: str, misleading: bool):
    assert has_misleading_name(text) == misleading
