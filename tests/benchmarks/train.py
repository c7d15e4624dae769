"""This trainer against the field's, in one run and on the same tensors.

    python tests/benchmarks/train.py [--quick] [--large] [--json] [--rounds 2] [--threads 1]

Rows are SmolLM2's after block 12 (d 576). Each trainer runs in a process of its own, one thread, batch 2,048, k 32. The
peers' environment and the rows are made where they are absent, under `.demo/benchmarks/` (minutes, once).

- `ratio_<variant>`: our tokens a second over those of the fastest peer as shipped, at d_sae 4,608 (a key ending in the
  width for others). `ratio_topk_autocast`: over sparsify with bfloat16 autocast around its step. AuxK is measured with
  a tenth of the latents dead.
- `share_of_product`: our TopK step's tokens a second over those of the bfloat16 encoder product alone, at 12,288.
- `memory_ratio`: our peak resident set in a TopK step at 4,608, libraries included and data not, over the smallest
  peer's.
- `fvu`, `fvu_peer`: held-out FVU after 499,712 tokens, ours and the best peer's, each at the best of four learning
  rates; `ratio_time_to_fvu`: seconds of training of the fastest peer run that reaches `fvu_peer`, over ours to it.
- `harvest_ratio`: see `harvest.py`.

`--quick` leaves out the sweep: `fvu`, `fvu_peer` and `ratio_time_to_fvu` are then null. A trial of the sweep that an
earlier run finished is taken from its file; remove `.demo/benchmarks/sweep/` for a fresh one.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "trainers"))
sys.path.insert(1, str(HERE))

from activations import ensure_activations  # noqa: E402
from launch import FOLDER, PEERS  # noqa: E402
from report import goals_table  # noqa: E402
from speed import VARIANTS, Contest, contest  # noqa: E402
from sweep import Quality, sweep  # noqa: E402

_WIDTH = 4_608
_WIDER = (12_288,)
_LARGE = (24_576,)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the sweep of learning rates")
    parser.add_argument("--large", action="store_true", help="TopK at d_sae 24,576 too")
    parser.add_argument("--json", action="store_true", help="one flat object on one line")
    parser.add_argument("--rounds", type=int, default=1, help="how often each trainer is timed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    data = str(ensure_activations(FOLDER / "smollm2.safetensors"))

    def timed(variant: str, d_sae: int) -> Contest:
        return contest(data, variant, d_sae, arguments.threads, arguments.rounds, autocast=variant == "topk")

    contests = {(variant, _WIDTH): timed(variant, _WIDTH) for variant in VARIANTS}
    for d_sae in (*_WIDER, *(_LARGE if arguments.large else ())):
        contests["topk", d_sae] = timed("topk", d_sae)
    quality = None if arguments.quick else sweep(data, _WIDTH, arguments.threads, FOLDER / "sweep")
    found = figures(contests, quality, _harvest_ratio())
    print(json.dumps(found) if arguments.json else goals_table(found, contests))


def figures(
    contests: dict[tuple[str, int], Contest], quality: Quality | None, harvest_ratio: float
) -> dict[str, float | None]:
    """The flat object."""
    topk, wider = contests["topk", _WIDTH], contests["topk", _WIDER[0]]
    found: dict[str, float | None] = {f"ratio_{variant}": contests[variant, _WIDTH].ratio for variant in VARIANTS}
    found |= {f"ratio_topk_{d_sae}": one.ratio for (_, d_sae), one in contests.items() if d_sae != _WIDTH}
    found["ratio_topk_autocast"] = topk.tokens_per_s["ours"] / topk.tokens_per_s["sparsify autocast"]
    found["share_of_product"] = wider.tokens_per_s["ours"] / wider.tokens_per_s["product autocast"]
    found["memory_ratio"] = topk.peak_mib["ours"] / min(topk.peak_mib[peer] for peer in PEERS)
    found["fvu"] = quality and quality.best(["ours"]).fvu
    found["fvu_peer"] = quality and quality.best(PEERS).fvu
    found["ratio_time_to_fvu"] = quality and quality.time_ratio
    found["harvest_ratio"] = harvest_ratio
    if quality is not None:
        found["dead"], found["dead_peer"] = quality.best(["ours"]).dead, quality.best(PEERS).dead
    return found


def _harvest_ratio() -> float:
    from harvest import measure

    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), tokens=4_096, batch_tokens=1_024, repeats=3)["harvest_ratio"]


if __name__ == "__main__":
    main()
