"""Figures in words, pictures made small, CSV of nested values, and what the pages import."""

import csv
import io
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import catalog_ui
from catalog_ui.csv_text import to_csv
from catalog_ui.pictures import LONGEST_SIDE, picture_uri
from catalog_ui.wording import ago, figure, is_feature_id, lasted, mix, one_in, share, when

ROOT = Path(catalog_ui.__file__).parents[1]


def test_figures_read_as_people_write_them():
    assert [figure(v) for v in (None, 0.0, 12.3456, -0.5)] == [None, "0", "12.3", "−0.5"]
    assert [share(v) for v in (None, 0.0, 0.004, 0.333, 0.9972, 0.99999, 1.0)] == [
        None,
        "0%",
        "0.4%",
        "33%",
        "99.7%",
        "99.9%",
        "100%",
    ]
    assert [one_in(v) for v in (None, 0.0, 0.001, 0.75)] == ["never", "never", "1 in 1,000 tokens", "75% of tokens"]
    assert when(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02 03:04"
    assert figure(12345.6) == "12,346"
    assert mix([{"key": "en", "value": 3.0}, {"key": "ja", "value": 1.0}]) == "en 75%, ja 25%"


def test_durations_and_ages_are_told_in_the_unit_that_says_them_well():
    now = datetime(2026, 1, 2, 3, 4, 5)

    assert [lasted(s) for s in (None, 0.25, 41.3, 100, 3725)] == [None, "0.25 s", "41 s", "1 min 40 s", "1 h 2 min"]
    assert [ago(now - timedelta(seconds=s), now) for s in (-5, 30, 61, 7300, 86400 * 3)] == [
        "just now",
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
    ]


@pytest.mark.parametrize(
    ("text", "is_one"), [("a1:0", True), ("a1:", False), (":1", False), ("a1:-1", False), ("a1", False)]
)
def test_feature_ids_are_told_from_other_texts(text, is_one):
    assert is_feature_id(text) is is_one


def test_a_large_picture_becomes_a_small_png(tmp_path):
    Image.fromarray(np.zeros((600, 900, 3), dtype=np.uint8)).save(tmp_path / "large.jpg")

    uri = picture_uri(str(tmp_path), "large.jpg")

    assert uri is not None
    assert uri.startswith("data:image/png;base64,")
    import base64

    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as small:
        assert max(small.size) == LONGEST_SIDE


def test_what_is_no_picture_or_lies_elsewhere_is_left_out(tmp_path):
    (tmp_path / "fake.png").write_text("<svg onload=alert(1)>")
    store = tmp_path / "store"
    store.mkdir()
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "outside.png")

    assert picture_uri(str(tmp_path), "fake.png") is None
    assert picture_uri(str(tmp_path), "gone.png") is None
    assert picture_uri(str(store), "../outside.png") is None


def test_csv_holds_lists_maps_and_line_breaks():
    frame = pl.DataFrame(
        {
            "text": ['a "b"\n,c'],
            "tokens": [["x", "y"]],
            "shares": [[{"key": "en", "value": 0.5}]],
            "raw": [b"\x01"],
            "n": [1],
        }
    )

    row = next(csv.DictReader(io.StringIO(to_csv(frame))))

    assert row["text"] == 'a "b"\n,c'
    assert json.loads(row["tokens"]) == ["x", "y"]
    assert json.loads(row["shares"]) == [{"key": "en", "value": 0.5}]
    assert (row["raw"], row["n"]) == ("01", "1")


PROBE = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("catalog_ui/app.py", default_timeout=60).run()
for page in ("search", "feature", "compare", "attribution", "steering", "audit", "sql", "health"):
    assert not app.exception, app.exception
    app.switch_page(f"app_pages/{page}.py").run()
assert not app.exception, app.exception
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "transformers", "dagster", "sklearn", "umap"}))
"""


def test_every_page_runs_without_torch_transformers_or_dagster(small_store, tmp_path):
    config = tmp_path / "atlas.yaml"
    config.write_text(
        "models: {world-lm: {source: world}}\ncorpora: {world: {source: world}}\n"
        "sites: [{model: world-lm, hookpoint: layers.3, corpora: [world]}]\n"
        "dictionaries: {large: {architecture: topk, expansion: 4, k: 8}}\n"
    )
    environment = os.environ | {"ATLAS_CONFIG": str(config), "ATLAS_STORE": str(small_store), "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
