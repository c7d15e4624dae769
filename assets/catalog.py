"""The catalog: a candidate is built whole and checked; the gate moves `CURRENT` to it, or leaves it where it is."""

import dagster as dg

from orchestration.asset import made, source
from orchestration.checks import at_most
from orchestration.partitions import Keys
from orchestration.refs import Ref
from orchestration.resources import Atlas, Stage
from sae.catalog.schema import SCHEMA_VERSION
from sae.config import load_workspace
from sae.errors import AtlasError
from sae.storage import Store, StoredFile

PER_DICTIONARY = (
    "features",
    "examples",
    "labels",
    "label_scores",
    "neighbors",
    "feature_map",
    "logit_weights",
    "attributions",
    "steering",
    "evaluation",
)
"""Assets whose tables the catalog holds, one artifact a dictionary."""
PER_SITE = ("cross_neighbors", "feature_matches")
"""The same, one artifact a site."""


@dg.definitions
def catalog_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=catalog_assets(Keys(load_workspace().config)))


def catalog_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`catalog_candidate`, the gate `catalog`, and the reviews that they watch."""

    @made(
        keys,
        "catalog_candidate",
        group="catalog",
        after=[
            "dictionary_candidate",
            "dictionary",
            *PER_DICTIONARY,
            *PER_SITE,
            "attribution_edges",
            "neuron_checks",
            "baseline",
            "reviews_source",
            "checks_config",
        ],
        kinds={"duckdb"},
        # A catalog of another schema is another catalog, whatever it is made from.
        code_version=f"3, schema {SCHEMA_VERSION}",
    )
    def catalog_candidate(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """A new version of the catalog, complete and checked, that no reader sees yet."""
        from orchestration.catalog_frames import catalog_parts
        from sae.catalog.checks import check_candidate
        from sae.catalog.publish import build_candidate, catalog_content_id

        if kept := stage.kept():
            return kept
        parts = catalog_parts(atlas, context.instance, atlas.known_keys(context))
        version = build_candidate(atlas.store, parts.frames, parts.parquet, parts.facts)
        findings = check_candidate(atlas.store, version)
        rows = {f"{name}_rows": frame.height for name, frame in parts.frames.items()}
        return stage.made(
            None,
            catalog_content_id(parts.frames, parts.parquet),
            facts={"version": version, "findings": [str(finding) for finding in findings]},
            metadata={**rows, "version": version, "findings": dg.MetadataValue.json([str(f) for f in findings])},
            checks=[at_most("catalog_consistent", len(findings), 0)],
            files=version_files(atlas.store, version),
        )

    @made(keys, "catalog", group="catalog", loads=["catalog_candidate"], kinds={"duckdb", "gate"})
    def catalog(
        context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage, catalog_candidate: Ref
    ) -> dg.MaterializeResult:
        """The published catalog: `CURRENT` moves to the candidate when every reference in it holds."""
        from sae.catalog.publish import publish
        from sae.catalog.versions import CURRENT, prune

        version = catalog_candidate.facts["version"]
        if findings := catalog_candidate.facts["findings"]:
            more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
            raise AtlasError(
                f"Catalog {version} is not published: {findings[0]}{more}. Readers keep the last good one."
            )
        publish(atlas.store, version)
        removed = prune(atlas.store, atlas.config.retention.catalogs)
        facts = {"version": version}
        return stage.made(
            None,
            catalog_candidate.data_version,
            facts=facts,
            metadata=facts | {"removed": removed},
            files=version_files(atlas.store, version) | {"current": atlas.store.describe(CURRENT)},
        )

    return [
        source(keys, "reviews_source", group="catalog", description="What people said of labels."),
        catalog_candidate,
        catalog,
    ]


def version_files(store: Store, version: str) -> dict[str, StoredFile]:
    """The files of a version of the catalog: when one is gone, the planner has it made again."""
    from sae.catalog.versions import catalog_path, search_folder

    index = store.files_in(search_folder(version))
    return {path.rsplit("/", 1)[-1]: store.describe(path) for path in [catalog_path(version), *index]}
