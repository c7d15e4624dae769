"""The table reference says what the schema says."""

from pathlib import Path

import sae
from sae.catalog.reference import reference
from sae.catalog.schema import TABLES, VIEWS

PAGE = Path(sae.__file__).parents[1] / "docs" / "tables.md"


def test_page_is_what_the_schema_generates():
    written = PAGE.read_text(encoding="utf-8")

    assert written == reference(), "the schema changed: `python -m sae.catalog.reference > docs/tables.md`"


def test_every_relation_and_column_is_on_the_page():
    sections = reference().split("\n## ")[1:]

    assert [section.split("\n")[0] for section in sections] == [*TABLES, *VIEWS]
    for section, relation in zip(sections, [*TABLES.values(), *VIEWS.values()], strict=True):
        assert all(f"| `{column.name}` |" in section for column in relation.columns)


def test_readme_counts_the_relations():
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")

    assert f"\n{len(TABLES) + len(VIEWS)} tables and views" in readme
