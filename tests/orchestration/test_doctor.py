"""What `atlas doctor` says of a workspace is so."""

from pathlib import Path

import pytest
from tiny_pipeline import write_config

from orchestration.doctor import examine
from sae.storage import Store


def test_a_store_given_as_a_url_of_a_folder_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_CONFIG", str(write_config(tmp_path)))
    monkeypatch.setenv("ATLAS_STORE", f"file://{tmp_path}/store")
    store = Store(f"file://{tmp_path}/store")
    store.open_schema()
    store.write_bytes("models/weights", bytes(3_000_000))

    (said,) = [finding.detail for finding in examine() if finding.what == "store"]

    assert said == f"file://{tmp_path}/store, 3 MB"
