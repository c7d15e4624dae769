"""Features against neurons, and against another seed's: what Towards Monosemanticity asks of a dictionary."""

from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from assets.features import tables_made
from orchestration.asset import made
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.config.compared import comparisons

if TYPE_CHECKING:
    from sae.evaluation.measures import Measure


@dg.definitions
def neuron_checks_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=neuron_checks_assets(Keys(load_workspace().config)))


def neuron_checks_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`neuron_checks`."""

    @made(
        keys,
        "neuron_checks",
        group="evaluation",
        after=["dictionary", "features", "labels", "label_scores"],
        kinds={"pytorch"},
        code_version="3",
    )
    def neuron_checks(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """Density, logit weights, labels and correlations of a dictionary beside those of its site's neurons.

        Made for the dictionaries of sites that have a recipe for their neurons. Where a model that differs in its seed
        alone is read at the same place, the features that both models have: none are counted as long as the other
        model's dictionary is not accepted.
        """
        from sae.evaluation.density import ultralow_density
        from sae.evaluation.measures import evaluation_frame
        from sae.evaluation.neurons import label_comparison, logit_median
        from sae.models.readout import readout

        if kept := stage.kept():
            return kept
        pair = stage.partition
        against = comparisons(atlas.config)[pair]
        dictionary = atlas.dictionary(pair)
        features = atlas.table(Cell("features", pair), "features")
        labels, scores, neuron_labels, neuron_scores = (
            atlas.table(Cell(asset, of), asset)
            for of in (pair, against.neurons)
            for asset in ("labels", "label_scores")
        )
        weights = readout(dictionary.subject(), dictionary.manifest.hookpoint)
        measures = [
            ultralow_density(dictionary.dictionary, features, dictionary.manifest.count("n_trainable")),
            logit_median(dictionary.directions(features).vectors, weights),
            *label_comparison(labels, scores, neuron_labels, neuron_scores, atlas.seed),
        ]
        if against.twin and against.twin_neurons:
            measures.append(_universality(atlas, dictionary, against.neurons, against.twin, against.twin_neurons))
        frame = evaluation_frame(dictionary.dictionary_id, measures, atlas.seed)
        return tables_made(
            stage, dictionary, {"evaluation": frame}, metadata={"measures": dg.MetadataValue.md(_table(frame))}
        )

    return [neuron_checks]


def _universality(atlas: Atlas, dictionary: Pinned, neurons: str, twin: str, twin_neurons: str) -> "Measure":
    from sae.evaluation.universality import max_correlations, universality, without_other

    for pair in (twin, twin_neurons):
        if atlas.ref_or_none(Cell("dictionary", pair)) is None:
            return without_other(pair)
    other = atlas.dictionary(twin)
    shards = [pinned.shards() for pinned in (dictionary, other)]
    return universality(
        max_correlations(dictionary.dictionary, other.dictionary, zip(*shards, strict=True)),
        max_correlations(
            atlas.dictionary(neurons).dictionary, atlas.dictionary(twin_neurons).dictionary, zip(*shards, strict=True)
        ),
        other.dictionary_id,
    )


def _table(frame: pl.DataFrame) -> str:
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.4g}"

    rows = [f"| {r['metric']} | {shown(r['value'])} | {r['n']} | {shown(r['control'])} |" for r in frame.to_dicts()]
    return "\n".join(["| metric | value | n | control |", "|---|---|---|---|", *rows])
