"""The config's swaps and steerings of a question, in terms of one dictionary's features."""

from collections.abc import Iterable, Mapping, Sequence

from sae.causal.exchange import Exchange
from sae.causal.interventions import Intervention
from sae.causal.passes import PromptPass
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError


def planned_swap(
    read: PromptPass,
    dictionary: Dictionary,
    out: Sequence[int],
    put: Sequence[int],
    strength: float,
    at: Sequence[str],
    maxima: Mapping[int, float],
) -> Intervention:
    """Take `out` out and hold `put` at `strength` times their maximal activation (`maxima`, by feature).

    At the tokens `at`; without them wherever a feature taken out is active, and at the last position.
    Raises AtlasError on a token that the prompt has not got.
    """
    tokens = read.encoded.tokens
    for token in at:
        if token not in tokens:
            raise AtlasError(f"swaps: the prompt has no token {token!r}. It has: {', '.join(map(repr, tokens))}.")
    if at:
        places = [position for position, token in enumerate(tokens) if token in at]
    else:
        active = (dictionary.to(read.x.device).encode(read.x)[:, list(out)] > 0).any(dim=1).nonzero()[:, 0].tolist()
        places = sorted({*active, len(tokens) - 1})
    held = {feature: strength * maxima[feature] for feature in put}
    return Intervention("swap", Exchange(frozenset(out), held, tuple(places)), strength)


def planned_steering(
    sets: Iterable[Sequence[int]], strengths: Iterable[float], maxima: Mapping[int, float]
) -> list[Intervention]:
    """Hold each set of features at each strength other than 0, at every position."""
    sets = list(sets)
    return [
        Intervention("steer", Exchange(put={feature: strength * maxima[feature] for feature in features}), strength)
        for strength in strengths
        if strength
        for features in sets
    ]
