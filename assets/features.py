"""Features: what each latent of a dictionary does, from one pass over the activations that the dictionary pins."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from orchestration.asset import OWNERS, made
from orchestration.event_hooks import failure_told
from orchestration.mapping import placed
from orchestration.partitions import Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas
from sae.config import load_workspace
from sae.identity import content_id, frame_id


@dg.definitions
def features_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=features_assets(Keys(load_workspace().config)))


def features_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`features` and `examples` (one pass makes both), `feature_map` and `logit_weights`."""

    @dg.multi_asset(
        name="activity",
        outs={
            "features": dg.AssetOut(
                description="Statistics of every latent, and which latents are active together.",
                io_manager_key="tables",
                is_required=False,
                code_version="1",
                kinds={"polars"},
                owners=OWNERS,
            ),
            "examples": dg.AssetOut(
                description="Where latents are active: the strongest places, some of every level, some at random.",
                io_manager_key="tables",
                is_required=False,
                code_version="2",
                kinds={"polars"},
                owners=OWNERS,
            ),
        },
        ins={"dictionary": dg.AssetIn("dictionary", partition_mapping=keys.mapping("dictionary", "features"))},
        partitions_def=keys.of("features"),
        group_name="features",
        can_subset=True,
        hooks={failure_told},
    )
    def activity(context: dg.AssetExecutionContext, atlas: Atlas, dictionary: Pinned) -> Iterator[Any]:
        """One sparse pass over the pinned activations."""
        from sae.features.activity import gather_activity

        stages = [atlas.stage(context, key.to_user_string()) for key in sorted(context.selected_asset_keys)]
        kept = [stage.kept() for stage in stages]
        if all(kept):
            yield from kept
            return
        total = dictionary.manifest.count("n_tokens")
        tick, done = atlas.progress(f"features {context.partition_key}", "tokens"), [0]

        def on_rows(rows: int) -> None:
            done[0] += rows
            tick(done[0], total)

        documents = dictionary.documents().filter(pl.col("image_path").is_not_null())
        found = gather_activity(
            dictionary.shards(),
            dictionary.dictionary,
            dictionary.dictionary_id,
            atlas.seed,
            image_paths=dict(documents.select("document_id", "image_path").iter_rows()),
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
        io="tables",
        loads=["dictionary", "features", "labels", "neighbors"],
        kinds={"umap"},
        code_version="2",
    )
    def feature_map(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
        labels: dict[str, pl.DataFrame],
        neighbors: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """The live features on a plane, related ones close together, and clusters named by their members' labels.

        A map that follows another begins where that one left the features that were carried.
        """
        from sae.features.cluster_names import cluster_frame

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        places, facts = placed(atlas, stage, dictionary, features["features"], neighbors["neighbors"])
        clusters = cluster_frame(places, labels["labels"])
        return tables_made(stage, dictionary, {"feature_map": places, "clusters": clusters}, facts=facts)

    @made(keys, "logit_weights", group="features", io="tables", loads=["dictionary", "features"], kinds={"pytorch"})
    def logit_weights(
        context: dg.AssetExecutionContext, atlas: Atlas, dictionary: Pinned, features: dict[str, pl.DataFrame]
    ) -> dg.MaterializeResult:
        """The tokens that each feature makes likelier or less likely directly."""
        from sae.features.logit_weights import logit_weights as weigh
        from sae.models.readout import readout

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        subject = dictionary.subject()
        weights = readout(subject, dictionary.manifest.hookpoint)
        frame = weigh(dictionary.directions(features["features"]), weights, subject.codec.token)
        return tables_made(stage, dictionary, {"logit_weights": frame})

    return [activity, feature_map, logit_weights]


def tables_made(
    stage: Any, dictionary: Pinned, tables: dict[str, pl.DataFrame], leave_out: tuple[str, ...] = (), **more: Any
) -> dg.MaterializeResult:
    """The result of a body whose value is tables of one dictionary; `leave_out` columns do not count as content."""
    version = content_id({name: frame_id(frame, leave_out) for name, frame in tables.items()})
    rows = {f"{name}_rows": frame.height for name, frame in tables.items()}
    facts = {"dictionary_id": dictionary.dictionary_id, **more.pop("facts", {})}
    metadata = {**rows, "dictionary_id": dictionary.dictionary_id, **more.pop("metadata", {})}
    return stage.made(tables, version, facts=facts, metadata=metadata, **more)
