"""Which folder may import which: the library knows nothing of the platform, the pages nothing of models."""

import ast
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
FEW_LINES = 300
"""About 300: a longer file carries more than one idea."""


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_file_imports_from_a_layer_above(folder):
    files = sorted((ROOT / folder).rglob("*.py"))

    broken = {(str(file.relative_to(ROOT)), name) for file in files for name in _imports(file) & FORBIDDEN[folder]}

    assert files
    assert broken == set()


@pytest.mark.parametrize(
    "module", ["sae.catalog", "sae.config", "sae.storage", "catalog_ui.queries", "orchestration.cli"]
)
def test_light_modules_bring_no_torch(module):
    code = f"import sys, {module}; sys.exit(1 if 'torch' in sys.modules else 0)"

    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)

    assert finished.returncode == 0, f"importing {module} imports torch"


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
