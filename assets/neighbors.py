"""Neighbours: which features lie close to one another, in a dictionary, across dictionaries and across versions."""

from itertools import permutations
from typing import Any

import dagster as dg
import polars as pl

from assets.features import tables_made
from orchestration.asset import made, source
from orchestration.checks import at_most
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.identity import content_id, frame_id


@dg.definitions
def neighbors_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=neighbors_assets(Keys(load_workspace().config)))


def neighbors_assets(keys: Keys) -> list[Any]:
    """`neighbors`, `cross_neighbors` and `feature_matches`."""

    @made(
        keys,
        "neighbors",
        group="neighbors",
        loads=["dictionary", "features"],
        after=["neighbors_config"],
        kinds={"pytorch"},
        code_version="2",
    )
    def neighbors(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """The nearest features of the same dictionary, by the cosine of their decoder rows."""
        from sae.evaluation.measures import evaluation_frame
        from sae.features.neighbors import neighbors_within

        if kept := stage.kept():
            return kept
        directions = dictionary.directions(features["features"])
        exact_below = atlas.config.neighbors.exact_below
        frame, measures = neighbors_within(directions, exact_below=exact_below, seed=atlas.seed)
        tables = {"neighbors": frame}
        if measures:
            tables["evaluation"] = evaluation_frame(dictionary.dictionary_id, measures, atlas.seed)
        alive = len(directions.index)
        lonely = alive - frame["feature_id"].n_unique() if alive > 1 else 0
        return tables_made(stage, dictionary, tables, checks=[at_most("neighbors_complete", lonely, 0)])

    @made(
        keys,
        "cross_neighbors",
        group="neighbors",
        after=["dictionary", "features", "neighbors_config"],
        kinds={"pytorch"},
        code_version="2",
    )
    def cross_neighbors(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The nearest features of the site's other dictionaries, and how features of a small one split in a large."""
        from sae.features.families import families
        from sae.features.neighbors import neighbors_across

        if kept := stage.kept():
            return kept
        site = [
            (pinned.dictionary.d_sae, pinned.directions(atlas.table(Cell("features", pair), "features")))
            for pair, pinned in atlas.pinned(stage.partition).items()
        ]
        across = [
            neighbors_across(one, others, exact_below=atlas.config.neighbors.exact_below, seed=atlas.seed)
            for _, one in site
            if (others := [other for _, other in site if other is not one])
        ]
        split = [families(small, large) for (size, small), (larger, large) in permutations(site, 2) if size < larger]
        return site_tables_made(
            stage, {"neighbors": stacked(across, "neighbors"), "families": stacked(split, "families")}
        )

    @made(
        keys,
        "feature_matches",
        group="neighbors",
        after=["dictionary", "features"],
        kinds={"pytorch"},
        code_version="2",
    )
    def feature_matches(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """What became of each feature of the dictionaries that the current ones replaced, and how often that errs."""
        from sae.evaluation.match_errors import match_measures
        from sae.evaluation.measures import evaluation_frame
        from sae.evaluation.world_truth import world_names
        from sae.features.matches import match_features

        if kept := stage.kept():
            return kept
        matches, measured = [], []
        for pinned in atlas.pinned(stage.partition).values():
            shards = pinned.shards("held_out")
            for generation, (old, old_id) in enumerate(pinned.ancestors()):
                current = (pinned.dictionary, pinned.dictionary_id)
                matches.append(match_features(*current, old, old_id, shards))
                if generation == 0:
                    truth = (shards, pinned.documents("held_out"), world_names(), atlas.seed)
                    measures = match_measures(matches[-1], pinned.dictionary, old, *truth)
                    measured.append(evaluation_frame(pinned.dictionary_id, measures, atlas.seed))
        tables = {
            "feature_matches": stacked(matches, "feature_matches"),
            "evaluation": stacked(measured, "evaluation"),
        }
        return site_tables_made(stage, tables)

    return [
        source(keys, "neighbors_config", group="neighbors", description="How the nearest features are found."),
        neighbors,
        cross_neighbors,
        feature_matches,
    ]


def site_tables_made(stage: Stage, tables: dict[str, pl.DataFrame]) -> dg.MaterializeResult:
    """The result of a body whose value is tables of a whole site."""
    version = content_id({name: frame_id(frame) for name, frame in tables.items()})
    return stage.made(tables, version, metadata={f"{name}_rows": frame.height for name, frame in tables.items()})


def stacked(frames: list[pl.DataFrame], table: str) -> pl.DataFrame:
    """Frames of one table under each other; the table without rows where there is none."""
    from sae.catalog.frames import empty_frame
    from sae.catalog.schema import TABLES

    return pl.concat(frames) if frames else empty_frame(TABLES[table])
