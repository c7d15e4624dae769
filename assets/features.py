"""Features: what each latent of a dictionary does, from one pass over the activations that the dictionary pins."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from orchestration.asset import Part, made, made_together
from orchestration.mapping import placed
from orchestration.partitions import Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.identity import content_id, frame_id


@dg.definitions
def features_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=features_assets(Keys(load_workspace().config)))


def features_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`features` and `examples` (one pass makes both), `feature_map` and `logit_weights`."""

    @made_together(
        keys,
        Part(
            "features",
            kinds={"polars"},
            code_version="2",
            description="Statistics of every latent, and which latents are active together.",
        ),
        Part(
            "examples",
            kinds={"polars"},
            code_version="3",
            description="Where latents are active: the strongest places, some of every level, some at random.",
        ),
        group="features",
        after=["dictionary"],
    )
    def activity(
        context: dg.AssetExecutionContext, atlas: Atlas, stages: list[Stage]
    ) -> Iterator[dg.MaterializeResult]:
        """One sparse pass over the pinned activations."""
        from sae.features.activity import gather_activity

        kept = [result for stage in stages if (result := stage.kept())]
        if len(kept) == len(stages):
            yield from kept
            return
        pair = stages[0].partition
        dictionary = atlas.dictionary(pair)
        total = dictionary.manifest.count("n_tokens")
        tick, done = atlas.progress(f"features {pair}", "tokens"), [0]

        def on_rows(rows: int) -> None:
            done[0] += rows
            tick(done[0], total)

        found = gather_activity(
            dictionary.shards(),
            dictionary.dictionary,
            dictionary.dictionary_id,
            atlas.seed,
            image_paths=dictionary.image_paths(),
            on_rows=on_rows,
        )
        tables = {
            "features": {"features": found.features, "coactivations": found.coactivations},
            "examples": {"examples": found.examples},
        }
        for stage in stages:
            yield tables_made(stage, dictionary, tables[stage.cell.asset])

    @made(
        keys,
        "feature_map",
        group="features",
        loads=["dictionary", "features", "labels", "neighbors"],
        kinds={"umap"},
        code_version="2",
    )
    def feature_map(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
        labels: dict[str, pl.DataFrame],
        neighbors: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """The live features on a plane, related ones close together, and clusters named by their members' labels.

        A map that follows another begins where that one left the features that were carried.
        """
        from sae.features.cluster_names import cluster_frame

        if kept := stage.kept():
            return kept
        places, facts = placed(atlas, stage, dictionary, features["features"], neighbors["neighbors"])
        clusters = cluster_frame(places, labels["labels"])
        return tables_made(stage, dictionary, {"feature_map": places, "clusters": clusters}, facts=facts)

    @made(
        keys, "logit_weights", group="features", loads=["dictionary", "features"], kinds={"pytorch"}, code_version="2"
    )
    def logit_weights(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """The tokens that each feature makes likelier or less likely directly; none of an encoder."""
        from sae.features.logit_weights import logit_weights as weigh
        from sae.features.logit_weights import no_logit_weights
        from sae.models.readout import readout

        if kept := stage.kept():
            return kept
        subject = dictionary.subject()
        if not subject.predicts_next:
            return tables_made(stage, dictionary, {"logit_weights": no_logit_weights()})
        weights = readout(subject, dictionary.manifest.hookpoint)
        frame = weigh(dictionary.directions(features["features"]), weights, subject.codec.token)
        return tables_made(stage, dictionary, {"logit_weights": frame})

    return [activity, feature_map, logit_weights]


def tables_made(
    stage: Stage, dictionary: Pinned, tables: dict[str, pl.DataFrame], leave_out: tuple[str, ...] = (), **more: Any
) -> dg.MaterializeResult:
    """The result of a body whose value is tables of one dictionary; `leave_out` columns do not count as content."""
    version = content_id({name: frame_id(frame, leave_out) for name, frame in tables.items()})
    rows = {f"{name}_rows": frame.height for name, frame in tables.items()}
    facts = {"dictionary_id": dictionary.dictionary_id, **more.pop("facts", {})}
    metadata = {**rows, "dictionary_id": dictionary.dictionary_id, **more.pop("metadata", {})}
    return stage.made(tables, version, facts=facts, metadata=metadata, **more)
