"""Does attribution say what ablation shows? Their rank correlation, prompt by prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sae.causal.ablation import ablate
from sae.causal.answer import Answer
from sae.causal.attribution import attribute
from sae.causal.correlation import spearman
from sae.causal.many_prompts import read_prompts
from sae.dictionaries.dictionary import Dictionary
from sae.evaluation.measures import Measure, mean
from sae.models.encoding import Encoded
from sae.models.subject import Subject


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt and what is asked about it."""

    encoded: Encoded
    answer: Answer


def attribution_agreement(
    subject: Subject,
    hookpoint: str,
    dictionary: Dictionary,
    prompts: Sequence[Asked],
    seed: int,
    max_ablated: int = 50,
    massive_norm: float = math.inf,
) -> Measure:
    """`attribution_ablation_spearman`: mean over prompts of Spearman's correlation over the ablated features.

    Ablated are all active (position, feature) pairs, or the `max_ablated` of largest |attribution| where there are
    more. The control is the same correlation with the activation in place of the attribution: Scaling Monosemanticity
    finds 0.12 for it. Prompts with fewer than two pairs, or without any effect, say nothing and are left out.
    """
    dictionary = dictionary.to(subject.device)
    correlations: list[float] = []
    controls: list[float] = []
    for read in read_prompts(subject, hookpoint, [(prompt.encoded, prompt.answer) for prompt in prompts]):
        found = attribute(read, dictionary, massive_norm)
        rows = found.strongest(max_ablated)
        activations = found.activations[rows]
        effects = ablate(read, dictionary, found.positions[rows], found.features[rows], activations).cpu()
        correlation = spearman(found.attributions[rows].cpu().numpy(), effects.numpy())
        if correlation is not None:
            correlations.append(correlation)
            controls.append(spearman(activations.cpu().numpy(), effects.numpy()) or 0.0)
    measure = mean(
        "attribution_ablation_spearman",
        correlations,
        "prompts",
        seed,
        max_ablated=max_ablated,
        control="activation against ablation",
        left_out=len(prompts) - len(correlations),
    )
    return replace(measure, control=sum(controls) / len(controls) if controls else None)
