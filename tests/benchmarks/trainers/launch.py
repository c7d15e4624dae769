"""Runs a trainer on a task in a process of its own, with the Python of its environment."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from protocol import Task

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
FOLDER = PROJECT / ".demo" / "benchmarks"
PEERS = ("sparsify", "dictionary_learning", "sae_lens")
_WARM_UP = 3
"""Steps before the clock counts: compilation, first touches of memory."""


@dataclass(frozen=True)
class Measured:
    """What a trainer printed."""

    seconds: list[float]
    """Of each step after the warm-up."""
    peak_mib: float
    """Largest resident set of the process, without the data."""
    curve: list[dict[str, float]]
    fvu: float | None
    dead: float | None
    l0: float | None

    @property
    def step_seconds(self) -> float:
        """The median step."""
        return median(self.seconds)


def launch(trainer: str, task: Task) -> Measured | None:
    """Train; None where the library does not have the task's variant.

    Raises RuntimeError with the end of the trainer's output where it failed.
    """
    python = peers_python() if trainer in PEERS else Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "task.json"
        spec.write_text(json.dumps(asdict(task)), encoding="utf-8")
        done = subprocess.run(
            [str(python), str(HERE / f"{trainer}_trainer.py"), str(spec)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": str(task.threads), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"},
        )
    if done.returncode:
        raise RuntimeError(f"{trainer} failed on {task.variant}: {(done.stderr or done.stdout)[-2000:]}")
    printed: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if printed.get("unsupported"):
        return None
    return Measured(
        printed["seconds"][_WARM_UP:],
        printed["peak_mib"],
        printed["curve"],
        printed.get("fvu"),
        printed.get("dead"),
        printed.get("l0"),
    )


def peers_python() -> Path:
    """The Python of the peers' environment, which is made where it is absent."""
    folder = FOLDER / "peers"
    python, complete = folder / "bin" / "python", folder / ".complete"
    if not complete.is_file():
        print("making the peers' environment", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        # The CPU build first: a later package would otherwise pull a CUDA build of several gigabytes.
        subprocess.run([*pip, "torch==2.13.0"], check=True)
        subprocess.run([*pip, "--requirement", str(HERE / "peers.txt")], check=True)
        subprocess.run([*pip, "--no-deps", "--requirement", str(HERE / "peers-without-needs.txt")], check=True)
        complete.touch()
    return python
