"""Requests a second of the labeler against a loopback server that answers after 50 ms, and of bare httpx beside it.

    python tests/benchmarks/label.py [--json] [--features 1600] [--rounds 3]

Both send the same prompts, 16 at a time, to a server in a process of its own, in turn; the rates are medians of the
rounds. The labeler's rate holds all that it does: prompts, reservations, replies, and the rows of the ledger.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx2  # noqa: E402
import polars as pl  # noqa: E402

from sae.config import LabelerConfig  # noqa: E402
from sae.identity import content_id  # noqa: E402
from sae.labels.llm import Evidence, feature_questions, label_with_model  # noqa: E402

CONCURRENCY, LATENCY_S = 16, 0.05
_SERVE = """
import sys
sys.path.insert(0, sys.argv[1])
from fault_server import FaultServer
with FaultServer(latency_s=float(sys.argv[2])) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--features", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.features, options.rounds)
    print(json.dumps(found) if options.json else "\n".join(f"{name}: {value:.4g}" for name, value in found.items()))


def measure(n: int, rounds: int) -> dict[str, float]:
    """Rates in requests a second, and the labeler's share of bare httpx's."""
    evidence, order = _evidence(n), [f"d:{i}" for i in range(n)]
    bare, labeler = [], []
    with _server() as base_url, tempfile.TemporaryDirectory() as folder:
        config = LabelerConfig.model_validate(
            {
                "provider": "openai",
                "model": "m",
                "base_url": base_url,
                "budget_usd": 1000,
                "price": {"input": 0.15, "output": 0.60},
                "concurrency": CONCURRENCY,
            }
        )
        messages = [question.messages for question in feature_questions(evidence, order, config)]
        for number in range(rounds):
            bare.append(n / asyncio.run(_post_all(f"{base_url}/chat/completions", messages)))
            began = time.perf_counter()
            done = label_with_model(evidence, order, config, Path(folder) / f"{number}.sqlite", "run")
            labeler.append(n / (time.perf_counter() - began))
            assert done.labelled == n
    rates = statistics.median(labeler), statistics.median(bare)
    return {"labeler_requests_per_s": rates[0], "bare_requests_per_s": rates[1], "ratio": rates[0] / rates[1]}


@contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(ROOT / "tests"), str(LATENCY_S)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


async def _post_all(url: str, messages: list[list[dict[str, object]]]) -> float:
    """Seconds that bare httpx takes for all."""
    left = iter(messages)

    async def worker(client: httpx2.AsyncClient) -> None:
        for each in left:
            response = await client.post(url, json={"model": "m", "messages": each, "max_tokens": 300})
            response.raise_for_status().json()

    limits = httpx2.Limits(max_connections=CONCURRENCY)
    began = time.perf_counter()
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        await asyncio.gather(*(worker(client) for _ in range(CONCURRENCY)))
        return time.perf_counter() - began


def _evidence(n: int) -> Evidence:
    """Examples as a dictionary has them: 50 a feature, 25 tokens each."""
    kinds = [("top", 20), ("quantile", 20), ("random", 10), ("out_of_context", 10)]
    rows = [
        {
            "example_id": content_id([feature, kind, rank]),
            "feature_id": f"d:{feature}",
            "kind": kind,
            "document_id": content_id([kind, rank]),
            "bin": None,
            "rank": rank + 1,
            "position": 40,
            "activation": 0.0 if kind == "out_of_context" else 1 - rank / 21,
            "tokens": [f" word{(feature * 7 + rank * 3 + at) % 900}" for at in range(25)],
            "activations": [0.0] * 12 + [0.5] + [0.0] * 12,
            "language": "en",
            "image_path": None,
        }
        for feature in range(n)
        for kind, count in kinds
        for rank in range(count)
    ]
    features = pl.DataFrame(
        {"feature_id": [f"d:{i}" for i in range(n)], "dictionary_id": "d", "index": range(n), "max_activation": 1.0}
    )
    weights = pl.DataFrame({"feature_id": ["d:0"], "sign": ["positive"], "rank": [1], "token": ["x"]})
    return Evidence(features, pl.DataFrame(rows), weights, lambda path: b"")


if __name__ == "__main__":
    main()
