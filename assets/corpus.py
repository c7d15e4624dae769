"""The corpus: sources cut into shards of documents."""

import dagster as dg
import polars as pl

from orchestration.asset import made, source
from orchestration.checks import at_least
from orchestration.forgotten_list import read_forgotten
from orchestration.partitions import Keys
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace
from sae.identity import frame_id


@dg.definitions
def corpus_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=corpus_assets(Keys(load_workspace().config)))


def corpus_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`corpus_source` (observed) and `corpus`."""

    @made(keys, "corpus", group="corpus", after=["corpus_source"], kinds={"parquet", "polars"})
    def corpus(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The documents of one shard: text, pictures, language and, where it is known, which concept stands where."""
        from sae.corpora.sources import read_shard

        if kept := stage.kept():
            return kept
        shard = stage.partition
        name = shard.rsplit("-", 1)[0]
        config = atlas.config.corpora[name]
        read = read_shard(name, config, atlas.seed, shard, atlas.workspace.path.parent)
        # A file without a document is refused as it is read; of one that has some, a part may have none.
        least = 0 if config.source == "files" else 1
        documents = read_forgotten(atlas.store).without(read)
        return stage.made(
            documents,
            frame_id(documents),
            facts={"n_documents": documents.height},
            metadata={
                "documents": documents.height,
                "characters": int(documents["text"].str.len_chars().sum()),
                "languages": dg.MetadataValue.json(_counts(documents, "language")),
            },
            checks=[at_least("corpus_not_empty", documents.height, least)],
        )

    return [
        source(keys, "corpus_source", group="corpus", description="What a shard is cut from, by its content's hash."),
        corpus,
    ]


def _counts(documents: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(documents[column].value_counts(sort=True).iter_rows())
