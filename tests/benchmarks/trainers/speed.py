"""Tokens a second and peak memory of every trainer, variant by variant, on the same tensors."""

import sys
from dataclasses import dataclass
from statistics import median

from launch import PEERS, Measured, launch
from protocol import Task

VARIANTS = ("topk", "auxk", "batchtopk", "matryoshka", "jumprelu", "gated", "standard")
BATCH = 2048
K = 32
_SCHEDULE = 2000
_WARM_UP_AND_TIMED = 9


@dataclass(frozen=True)
class Contest:
    """One variant at one width: tokens a second and memory by trainer (`<name>` as shipped, `<name> autocast`)."""

    variant: str
    d_sae: int
    tokens_per_s: dict[str, float]
    peak_mib: dict[str, float]

    def fastest_peer(self, autocast: bool = False) -> float:
        """Tokens a second of the fastest peer as shipped, or with autocast put around it."""
        names = [f"{peer} autocast" if autocast else peer for peer in PEERS]
        return max(self.tokens_per_s[name] for name in names if name in self.tokens_per_s)

    @property
    def ratio(self) -> float:
        """Ours against the fastest peer as shipped."""
        return self.tokens_per_s["ours"] / self.fastest_peer()


def contest(data: str, variant: str, d_sae: int, threads: int, rounds: int, autocast: bool) -> Contest:
    """Time each trainer in turn, `rounds` times round, so that a drift of the machine meets all of them."""
    runs: dict[str, list[Measured]] = {}
    trainers = [("ours", True), *((peer, False) for peer in PEERS)]
    if autocast:
        trainers += [(peer, True) for peer in PEERS]
    if variant == "topk":
        trainers += [("dense", False), ("dense", True), ("product", False), ("product", True)]
    for _ in range(rounds):
        for trainer, low in trainers:
            name = trainer if trainer == "ours" or not low else f"{trainer} autocast"
            done = launch(trainer, timing_task(data, variant, d_sae, threads, low))
            if done is None:
                continue
            runs.setdefault(name, []).append(done)
            print(f"{variant} {d_sae} {name}: {BATCH / done.step_seconds:,.0f} tokens/s", file=sys.stderr, flush=True)
    speeds = {name: BATCH / median(s for one in done for s in one.seconds) for name, done in runs.items()}
    return Contest(variant, d_sae, speeds, {name: max(one.peak_mib for one in done) for name, done in runs.items()})


def timing_task(data: str, variant: str, d_sae: int, threads: int, autocast: bool) -> Task:
    """A few steps at the start of a long run; AuxK with a tenth of the latents dead."""
    return Task(
        data=data,
        variant=variant,
        d_sae=d_sae,
        k=K,
        batch=BATCH,
        steps=_SCHEDULE,
        stop=_WARM_UP_AND_TIMED,
        learning_rate=4e-4,
        autocast=autocast,
        threads=threads,
        dead=0.1 if variant == "auxk" else 0.0,
        groups=nested_groups(d_sae),
        curve=-1,
    )


def nested_groups(d_sae: int) -> list[int]:
    """Matryoshka's groups, the same for all: a sixteenth, an eighth, a quarter, and the rest."""
    first = [d_sae // 16, d_sae // 8, d_sae // 4]
    return [*first, d_sae - sum(first)]
