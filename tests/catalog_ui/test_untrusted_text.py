"""Labels and corpus text are shown as text, whatever characters they hold."""

import ast
import re
from pathlib import Path

import pytest
from catalog_fixture import LARGE, SMALL
from page_elements import elements

import catalog_ui

FOLDER = Path(catalog_ui.__file__).parent
SCRIPTS = sorted((FOLDER / "components" / "frontend").glob("*.js"))
MODULES = sorted(FOLDER.rglob("*.py"))
RENDERS_MARKUP = {
    "Markdown",
    "Heading",
    "Alert",
    "Html",
    "Metric",
    "PageLink",
    "Expandable",
    "Tab",
    "Button",
    "Exception",
}
"""Messages whose text Streamlit reads as Markdown or HTML."""


@pytest.mark.parametrize(
    ("page", "parameters"),
    [
        ("map", {}),
        ("search", {"q": "script"}),
        ("search", {"q": "<script>alert(1)</script> $x$"}),
        ("feature", {"id": f"{LARGE}:0"}),
        ("feature", {"id": "<script>alert(1)</script>:1"}),
        ("compare", {"a": f"{LARGE}:0", "b": f"{LARGE}:1"}),
        ("compare", {"a": "script", "b": "<script>alert(1)</script> $x$"}),
        ("compare", {"a": "<script>alert(1)</script>:1"}),
        ("compare", {"old": SMALL, "new": LARGE}),
        ("compare", {"old": "<script>alert(1)</script>", "new": "<script>alert(1)</script>"}),
        ("attribution", {}),
        ("steering", {}),
        ("steering", {"id": "<script>alert(1)</script>:1"}),
        ("audit", {"id": f"{LARGE}:0"}),
        ("audit", {"id": "label-failed"}),
        ("audit", {"id": LARGE}),
        ("audit", {"id": "<script>alert(1)</script>"}),
        ("audit", {"id": "<script>alert(1)</script>:1"}),
        ("health", {}),
        ("sql", {}),
    ],
)
def test_markup_in_labels_reaches_no_element_that_renders_markup(open_page, hostile_store, page, parameters):
    app = open_page(page, store=hostile_store, **parameters)

    for message in elements(app):
        if type(message).__name__ in RENDERS_MARKUP:
            text = str(message)
            assert "hacked" not in text
            assert "alert(1)" not in text
            assert "latex" not in text


def test_markup_reaches_the_components_unchanged_as_data(open_page, hostile_store):
    app = open_page("feature", store=hostile_store, id=f"{LARGE}:1")

    sent = [m.json for m in elements(app) if type(m).__name__ == "BidiComponent"]

    assert any("<script>window.hacked = 1</script>" in text for text in sent)


def test_the_result_of_a_query_is_sent_as_a_data_frame(open_page, hostile_store):
    app = open_page("sql", store=hostile_store)
    app.text_area(key="query").set_value("select label from labels limit 1")

    app.button[0].click().run()

    assert "<script>" in app.dataframe[0].value["label"][0]
    assert not any("hacked" in str(m) for m in elements(app) if type(m).__name__ in RENDERS_MARKUP)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_write_text_content_alone(script):
    source = script.read_text(encoding="utf-8")

    found = re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|createContextualFragment|srcdoc"
        r"|setHTML|DOMParser|https?://",
        source,
    )

    assert found == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_modules_pass_no_html_and_only_fixed_text_to_markdown(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))

    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        assert not any(keyword.arg == "unsafe_allow_html" for keyword in call.keywords)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name in ("html", "markdown", "title", "subheader", "header", "info", "warning", "error", "write"):
            assert all(isinstance(argument, ast.Constant) for argument in call.args), ast.unparse(call)


def test_the_theme_file_asks_for_no_statistics_and_no_foreign_host():
    import tomllib

    config = tomllib.loads((FOLDER / ".streamlit" / "config.toml").read_text())

    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["headless"] is True
    assert "http" not in str(config)
