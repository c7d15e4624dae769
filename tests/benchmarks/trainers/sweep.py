"""Quality after the same tokens, each trainer at its best learning rate, and the seconds to the best peer's best."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from launch import PEERS, Measured, launch
from protocol import Task
from speed import BATCH, K, nested_groups

RATES = (1.6e-3, 3.2e-3, 4.8e-3, 6.4e-3, 1.28e-2)
STEPS = 244
"""499,712 tokens."""
_CURVE = 20


@dataclass(frozen=True)
class Trial:
    """One trainer at one rate."""

    trainer: str
    learning_rate: float
    fvu: float
    dead: float
    curve: list[dict[str, float]]
    """`step`, `seconds` of training so far, `fvu`, `dead`, `l0` on held-out rows."""

    @property
    def seconds(self) -> float:
        """Of the whole training, measuring left out."""
        return self.curve[-1]["seconds"]


@dataclass(frozen=True)
class Quality:
    """The sweep of all trainers."""

    trials: list[Trial]

    def best(self, trainers: Sequence[str]) -> Trial:
        """The trial of lowest held-out FVU."""
        return min((trial for trial in self.trials if trial.trainer in trainers), key=lambda trial: trial.fvu)

    @property
    def time_ratio(self) -> float | None:
        """Seconds of the fastest peer run that gets to the best peer's FVU, over our fastest run's seconds to it."""
        wanted = self.best(PEERS).fvu
        ours = [s for t in self.trials if t.trainer == "ours" and (s := seconds_to(t, wanted)) is not None]
        peers = [s for t in self.trials if t.trainer in PEERS and (s := seconds_to(t, wanted)) is not None]
        return min(peers) / min(ours) if ours else None


def seconds_to(trial: Trial, fvu: float) -> float | None:
    """Seconds of training until the held-out FVU is no higher; None where it never is."""
    return next((point["seconds"] for point in trial.curve if point["fvu"] <= fvu), None)


def sweep(data: str, d_sae: int, threads: int, kept: Path) -> Quality:
    """Every trainer at every rate, all in bfloat16. Trials are kept as they end, for another run."""
    trials = []
    for trainer in ("ours", *PEERS):
        for rate in RATES:
            place = kept / f"{trainer}-{d_sae}-{rate:g}.json"
            if place.is_file():
                trials.append(Trial(**json.loads(place.read_text(encoding="utf-8"))))
                continue
            done = launch(trainer, _task(data, d_sae, rate, threads))
            if done is None or done.fvu is None:
                continue
            trial = _trial(trainer, rate, done)
            kept.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(asdict(trial)), encoding="utf-8")
            trials.append(trial)
            print(
                f"{trainer} {rate:g}: FVU {trial.fvu:.4f} dead {trial.dead:.1%} {trial.seconds:.0f} s", file=sys.stderr
            )
    return Quality(trials)


def _trial(trainer: str, rate: float, done: Measured) -> Trial:
    assert done.fvu is not None
    assert done.dead is not None
    return Trial(trainer, rate, done.fvu, done.dead, done.curve)


def _task(data: str, d_sae: int, rate: float, threads: int) -> Task:
    return Task(
        data=data,
        variant="topk",
        d_sae=d_sae,
        k=K,
        batch=BATCH,
        steps=STEPS,
        stop=STEPS,
        learning_rate=rate,
        autocast=True,
        threads=threads,
        dead=0.0,
        groups=nested_groups(d_sae),
        curve=_CURVE,
    )
