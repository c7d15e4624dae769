"""Which folder may import which: the library knows nothing of the platform, the pages nothing of models."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sae

ROOT = Path(sae.__file__).parents[1]
FORBIDDEN = {
    "sae": {"dagster", "streamlit", "assets", "orchestration", "catalog_ui"},
    "assets": {"streamlit", "catalog_ui"},
    "orchestration": {"streamlit"},
    "catalog_ui": {"dagster", "torch", "transformers", "assets", "orchestration"},
}
PAGES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "catalog_ui").rglob("*.py")
    if path.stem != "__init__" and not {"app_pages", "app.py"} & set(path.parts)
]
"""Every module of the pages but the scripts that Streamlit runs, whose imports these are."""
FEW_LINES = 300
"""About 300: a longer file carries more than one idea."""


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_file_imports_from_a_layer_above(folder):
    files = sorted((ROOT / folder).rglob("*.py"))

    broken = {(str(file.relative_to(ROOT)), name) for file in files for name in _imports(file) & FORBIDDEN[folder]}

    assert files
    assert broken == set()


def test_light_modules_bring_no_torch():
    names = ["sae.catalog", "sae.config", "sae.storage", "orchestration.cli", "orchestration.definitions", *PAGES]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    if "torch" in sys.modules:
        sys.exit(f"importing {{name}} imports torch")
"""

    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr


def test_parquet_is_read_by_path_alone():
    """Polars takes a path for a pattern unless it is told: `sae/table_files.py` tells it."""
    files = [file for folder in FORBIDDEN for file in (ROOT / folder).rglob("*.py")]

    asking = {file.name for file in files if re.search(r"\b(read|scan)_parquet(_schema)?\b", _code(file))}

    assert asking == {"table_files.py"}


def test_no_file_is_long():
    files = [file for folder in [*FORBIDDEN, "tests"] for file in (ROOT / folder).rglob("*.py")]

    long = {str(file.relative_to(ROOT)): n for file in files if (n := len(file.read_text().splitlines())) > FEW_LINES}

    assert long == {}


def _imports(file: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def _code(file: Path) -> str:
    """Its names, without what stands in strings and comments."""
    names = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name | ast.Attribute))
    return " ".join(node.id if isinstance(node, ast.Name) else node.attr for node in names)
