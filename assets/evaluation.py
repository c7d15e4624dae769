"""Evaluation: what is claimed of a dictionary, measured on held-out data, and against the truth where it is known."""

from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from assets.features import tables_made
from orchestration.asset import made, source
from orchestration.concept_lists import configured_concepts
from orchestration.document_files import read_documents
from orchestration.partitions import Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.storage import StoredFile

if TYPE_CHECKING:
    from sae.evaluation.listed_concepts import ListedScores


@dg.definitions
def evaluation_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=evaluation_assets(Keys(load_workspace().config)))


def evaluation_assets(keys: Keys) -> list[Any]:
    """`evaluation`."""

    @made(
        keys,
        "evaluation",
        group="evaluation",
        loads=["dictionary", "features"],
        after=["concepts_config"],
        kinds={"polars"},
        pool="gpu",
        code_version="6",
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """Quality on held-out tokens; which feature stands for which concept, in every language and on pictures."""
        from sae.dictionaries.loss_recovered import LossRecovered
        from sae.evaluation.measures import evaluation_frame
        from sae.evaluation.report import evaluate_dictionary

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
        if listed := listed_scores(atlas, dictionary, features["features"]):
            added = {
                "concepts": listed.concepts,
                "concept_scores": listed.concept_scores,
                "evaluation": evaluation_frame(dictionary.dictionary_id, listed.measures, atlas.seed),
            }
            tables = {name: pl.concat([frame, added[name]]) for name, frame in tables.items()}
        return tables_made(stage, dictionary, tables, metadata={"measures": dg.MetadataValue.md(_measures(tables))})

    concepts = source(
        keys, "concepts_config", group="evaluation", description="Concepts with texts that show them and others."
    )
    return [concepts, evaluation]


def listed_scores(atlas: Atlas, dictionary: Pinned, features: pl.DataFrame) -> "ListedScores | None":
    """What the config's concept list says of a dictionary; None without a list, and for the world's own model."""
    from sae.evaluation.listed_concepts import count_occurrences, evaluate_listed

    concepts = configured_concepts(atlas.workspace)
    subject = dictionary.subject() if concepts else None
    if subject is None or subject.source == "world":
        return None
    manifest, documents = dictionary.manifest, dictionary.facts["documents"]
    trained_on = [entry for entry in manifest.shards if entry.split == "train"]
    texts = (read_documents(atlas.store, StoredFile(**documents[entry.shard]))["text"] for entry in trained_on)
    n_tokens = sum(entry.record.statistics.n_tokens for entry in trained_on)
    return evaluate_listed(
        concepts,
        subject,
        manifest.hookpoint,
        dictionary.dictionary,
        dictionary.dictionary_id,
        count_occurrences(concepts, texts, n_tokens),
        features.height - int(features["is_dead"].sum()),
        atlas.seed,
        dictionary.massive_norm,
    )


def _measures(tables: dict[str, pl.DataFrame]) -> str:
    rows = []
    for row in tables["evaluation"].to_dicts():
        value = "–" if row["value"] is None else f"{row['value']:.4g}"
        rows.append(f"| {row['metric']} | {value} | {row['n']} |")
    return "\n".join(["| metric | value | n |", "|---|---|---|", *rows])
