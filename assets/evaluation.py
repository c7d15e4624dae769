"""Evaluation: what is claimed of a dictionary, measured on held-out data, and against the truth where it is known."""

import dagster as dg
import polars as pl

from assets.features import tables_made
from orchestration.asset import made
from orchestration.partitions import Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas
from sae.config import load_workspace


@dg.definitions
def evaluation_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=evaluation_assets(Keys(load_workspace().config)))


def evaluation_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`evaluation`."""

    @made(
        keys,
        "evaluation",
        group="evaluation",
        io="tables",
        loads=["dictionary", "features"],
        kinds={"polars"},
        pool="gpu",
        code_version="2",
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """Quality on held-out tokens; which feature stands for which concept, in every language and on pictures."""
        from sae.dictionaries.loss_recovered import LossRecovered
        from sae.evaluation.report import evaluate_dictionary

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        tables = evaluate_dictionary(
            dictionary.dictionary,
            dictionary.dictionary_id,
            dictionary.subject(),
            dictionary.manifest,
            features["features"],
            [LossRecovered(**group) for group in dictionary.facts["loss_groups"]],
            dictionary.shards("held_out"),
            dictionary.documents("held_out"),
            atlas.seed,
        )
        return tables_made(stage, dictionary, tables, metadata={"measures": dg.MetadataValue.md(_measures(tables))})

    return [evaluation]


def _measures(tables: dict[str, pl.DataFrame]) -> str:
    rows = []
    for row in tables["evaluation"].to_dicts():
        value = "–" if row["value"] is None else f"{row['value']:.4g}"
        rows.append(f"| {row['metric']} | {value} | {row['n']} |")
    return "\n".join(["| metric | value | n |", "|---|---|---|", *rows])
