"""What `train.py --json` prints, from measurements made by hand: no benchmark is run."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

KEYS = {
    *("ratio_topk", "ratio_topk_autocast", "ratio_auxk", "ratio_batchtopk", "ratio_matryoshka", "ratio_jumprelu"),
    *("ratio_gated", "ratio_standard", "ratio_time_to_fvu", "share_of_product", "memory_ratio", "fvu", "fvu_peer"),
    "harvest_ratio",
}
VARIANTS = ("topk", "auxk", "batchtopk", "matryoshka", "jumprelu", "gated", "standard")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The benchmark's modules, which import each other by their folder."""
    known = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    import train
    from speed import Contest
    from sweep import Quality, Trial

    given = SimpleNamespace(figures=train.figures, Contest=Contest, Quality=Quality, Trial=Trial)
    for name in set(sys.modules) - known:
        monkeypatch.delitem(sys.modules, name)
    return given


def contests(benchmark: SimpleNamespace) -> dict:
    speeds = {
        "ours": 600.0,
        "sparsify": 200.0,
        "sae_lens": 100.0,
        "sparsify autocast": 300.0,
        "product autocast": 800.0,
    }
    peaks = {"ours": 50.0, "sparsify": 100.0, "sae_lens": 200.0, "dictionary_learning": 150.0}
    places = [*((variant, 4_608) for variant in VARIANTS), ("topk", 12_288)]
    return {(variant, d_sae): benchmark.Contest(variant, d_sae, speeds, peaks) for variant, d_sae in places}


def trial(benchmark: SimpleNamespace, trainer: str, *points: tuple[float, float]):
    curve = [{"seconds": seconds, "fvu": fvu} for seconds, fvu in points]
    return benchmark.Trial(trainer, 1e-3, points[-1][1], 0.1, curve)


def test_all_ratios_are_named_and_on_one_line(benchmark) -> None:
    found = benchmark.figures(contests(benchmark), None, 0.97)

    line = json.dumps(found)
    assert "\n" not in line
    assert found.keys() >= KEYS
    assert found["ratio_topk"] == 3
    assert found["ratio_topk_autocast"] == 2
    assert found["share_of_product"] == 0.75
    assert found["memory_ratio"] == 0.5
    assert found["harvest_ratio"] == 0.97
    assert found["fvu"] is found["fvu_peer"] is found["ratio_time_to_fvu"] is None


def test_the_sweep_gives_quality_and_the_time_to_the_best_peers(benchmark) -> None:
    quality = benchmark.Quality(
        [
            trial(benchmark, "ours", (10, 0.3), (20, 0.2), (30, 0.1)),
            trial(benchmark, "sparsify", (50, 0.3), (90, 0.2)),
            trial(benchmark, "sae_lens", (70, 0.2), (80, 0.25)),
        ]
    )

    found = benchmark.figures(contests(benchmark), quality, 0.97)

    assert found.keys() >= KEYS
    assert (found["fvu"], found["fvu_peer"]) == (0.1, 0.2)
    assert found["ratio_time_to_fvu"] == 3.5
