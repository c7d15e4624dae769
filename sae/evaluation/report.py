"""All that is measured of one accepted dictionary: the tables `concepts`, `concept_scores` and `evaluation`."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from sae.activations.manifest import ActivationSet
from sae.activations.shard import ActivationShard
from sae.dictionaries.dictionary import Dictionary
from sae.dictionaries.loss_recovered import LossRecovered
from sae.evaluation.concept_summaries import concept_summaries
from sae.evaluation.concepts import ANY_ACTIVATION, CONCEPT_SCORES, read_codes, score_concepts
from sae.evaluation.dictionary_quality import (
    dead_measure,
    loss_measures,
    neuron_measure,
    reconstruction_measures,
)
from sae.evaluation.measures import Measure, evaluation_frame
from sae.evaluation.stand_ins import stand_ins
from sae.evaluation.truth import build_truth
from sae.evaluation.world_code import code_measures
from sae.evaluation.world_truth import neighborhood_measures, world_measures, world_names
from sae.models.subject import Subject
from sae.world.truth import concepts

CONCEPTS = ("concept_id", "name", "kind")


def evaluate_dictionary(
    dictionary: Dictionary,
    dictionary_id: str,
    subject: Subject,
    activation_set: ActivationSet,
    features: pl.DataFrame,
    loss_groups: Sequence[LossRecovered],
    shards: Sequence[ActivationShard],
    documents: pl.DataFrame,
    seed: int,
) -> dict[str, pl.DataFrame]:
    """Measure on held-out `shards` and the `documents` that they were read from.

    `loss_groups` are what the splicing found when the dictionary was built: nothing is spliced again.
    Summaries of concept scores hold in their details what comes out when any activation fires (`any_activation`).
    Without known mentions in the documents there are no concepts. Another model that reads the world's sentences gets
    the same figures of features; the exams are set to the world's own model only: no other reads its language.
    """
    hookpoint, massive_norm = activation_set.hookpoint, activation_set.massive_norm
    measures = [
        *reconstruction_measures(dictionary, shards, seed),
        dead_measure(features, activation_set.count("n_trainable")),
        neuron_measure(features),
        *loss_measures(loss_groups, seed),
    ]
    scores = pl.DataFrame(schema=CONCEPT_SCORES)
    if documents["mentions"].list.len().sum():
        documents = documents.unique("document_id", keep="first", maintain_order=True)
        truth = build_truth(documents, pl.concat([shard.tokens for shard in shards]), seed, world_names())
        codes = read_codes(dictionary, shards)
        scores = score_concepts(truth, codes, dictionary_id)
        any_activation = score_concepts(truth, codes, dictionary_id, ANY_ACTIVATION)
        measures += [
            *_summaries(scores, any_activation, seed),
            *code_measures(truth, codes, documents, scores, seed),
        ]
        if subject.source == "world":
            found = stand_ins(truth, codes, scores)
            measures += world_measures(subject, hookpoint, dictionary, scores, found, seed, massive_norm)
        else:
            measures += neighborhood_measures(dictionary.W_dec, scores, seed)
    return {
        "concepts": concepts().select(*CONCEPTS).join(scores, on="concept_id", how="semi"),
        "concept_scores": scores,
        "evaluation": evaluation_frame(dictionary_id, measures, seed),
    }


def _summaries(scores: pl.DataFrame, any_activation: pl.DataFrame, seed: int) -> list[Measure]:
    without = {measure.metric: measure.value for measure in concept_summaries(any_activation, concepts(), seed)}
    return [
        replace(measure, details=measure.details | {"any_activation": without[measure.metric]})
        for measure in concept_summaries(scores, concepts(), seed)
    ]
