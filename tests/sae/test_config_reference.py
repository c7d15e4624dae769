"""The page about the config says every key, and is the one that the code makes."""

from pathlib import Path

from sae.config import AtlasConfig, LabelerConfig, RecipeConfig
from sae.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs/configuration.md"


def test_the_page_is_what_the_sections_say():
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_key_of_the_largest_sections_stands_in_it_with_its_text():
    page = reference()

    for kind in (AtlasConfig, LabelerConfig, RecipeConfig):
        assert all(f"| `{name}` |" in page for name in kind.model_fields)
    assert "| `k` | Active latents a token" in page
    assert "whole number, ≥ 1" in page
