"""Tables about claims and records: concepts, evaluation, checks, runs, lineage, and the catalog itself."""

from sae.catalog.table import Column, Table, View, feature_columns, run_id_column, time_column

_FEATURE_ID, _DICTIONARY_ID, _INDEX = feature_columns()
_ASSET = Column("asset", "VARCHAR", "Name of the asset.")
_PARTITION = Column("partition", "VARCHAR", "Its partition; null where it has none.", nullable=True)

CONCEPTS = Table(
    "concepts",
    "What the truth of a corpus names, or a list of concepts.",
    (
        Column("concept_id", "VARCHAR", "Id of the concept."),
        Column("name", "VARCHAR", "Its name in English."),
        Column("kind", "VARCHAR", "Its kind, for example city, landmark or player."),
    ),
    key=("concept_id",),
)

CONCEPT_SCORES = Table(
    "concept_scores",
    "How well the best feature finds each concept: chosen on one half of the held-out documents, or of a list's texts, "
    "scored on the other.",
    (
        Column("concept_id", "VARCHAR", "The concept (see concepts)."),
        _DICTIONARY_ID,
        _FEATURE_ID,
        _INDEX,
        Column("slice", "VARCHAR", "The documents scored: a language, `image`, `code` or `all`."),
        Column(
            "precision",
            "DOUBLE",
            "Mentions hit over those and the positions where it fires in documents that do not name the concept.",
            nullable=True,
        ),
        Column("recall", "DOUBLE", "Share of the concept's mentions on which it is active.", nullable=True),
        Column("f1", "DOUBLE", "Harmonic mean of the two.", nullable=True),
        Column("n", "BIGINT", "Number of mentions scored."),
    ),
    key=("concept_id", "feature_id", "slice"),
    sort=("dictionary_id", "index", "concept_id", "slice"),
)

EVALUATION = Table(
    "evaluation",
    "Measured claims about dictionaries, with intervals and controls.",
    (
        _DICTIONARY_ID,
        Column("metric", "VARCHAR", "Name of the measure."),
        Column("value", "DOUBLE", "Its value.", nullable=True),
        Column("n", "BIGINT", "Size of the sample; the details name its unit.", nullable=True),
        Column(
            "ci_low",
            "DOUBLE",
            "Lower end of the 95% interval over what the details name as `drawn`, else over units; null for too few.",
            nullable=True,
        ),
        Column("ci_high", "DOUBLE", "Upper end of the 95% interval.", nullable=True),
        Column("control", "DOUBLE", "The same measure on the control that the details name.", nullable=True),
        Column("seed", "BIGINT", "Seed of the sample.", nullable=True),
        Column("details", "JSON", "How it was measured.", nullable=True),
    ),
    key=("dictionary_id", "metric", "seed"),
)

CHECKS = Table(
    "checks",
    "The last result of each check.",
    (
        _ASSET,
        _PARTITION,
        Column("name", "VARCHAR", "Name of the check."),
        Column("passed", "BOOLEAN", "Whether it passed."),
        Column("severity", "VARCHAR", "WARN: a fault is shown; what keeps it from readers are the gates."),
        Column("value", "DOUBLE", "What was measured; null where the check does not apply.", nullable=True),
        Column("threshold", "DOUBLE", "What was wanted.", nullable=True),
        run_id_column(),
        time_column("checked_at", "When it was checked"),
    ),
    key=("asset", "partition", "name"),
)

THRESHOLDS = Table(
    "thresholds",
    "The thresholds of the checks, as the config has them.",
    (
        Column("name", "VARCHAR", "The key under `checks` in the config."),
        Column("value", "DOUBLE", "The threshold."),
    ),
    key=("name",),
)

RUNS = Table(
    "runs",
    "The runs that made the rows.",
    (
        Column("run_id", "VARCHAR", "Id of the run in the orchestrator."),
        Column(
            "trigger",
            "VARCHAR",
            "What started it: a command (`atlas run`), `schedule`, `sensor`, `refresh` (by hand) or `dagster`.",
        ),
        Column("status", "VARCHAR", "How it ended."),
        time_column("started_at", "When it started"),
        time_column("finished_at", "When it ended", nullable=True),
        Column("cost_usd", "DOUBLE", "Price paid in it, US dollars.", nullable=True, volatile=True),
    ),
    key=("run_id",),
    volatile=True,
)

LINEAGE = Table(
    "lineage",
    "What each cell of each asset holds and was made by.",
    (
        _ASSET,
        _PARTITION,
        Column("data_version", "VARCHAR", "Content id of what it holds."),
        Column("build_key", "VARCHAR", "Hash of all it was made from."),
        Column("code_version", "VARCHAR", "Version of the asset's code.", nullable=True),
        run_id_column(),
        time_column("started_at", "When making it started", nullable=True),
        time_column("finished_at", "When making it ended", nullable=True),
        Column(
            "peak_memory_bytes",
            "BIGINT",
            "The most memory that the process held while it was made, bytes.",
            nullable=True,
            volatile=True,
        ),
        Column("cost_usd", "DOUBLE", "Price paid for it, US dollars.", nullable=True, volatile=True),
    ),
    key=("asset", "partition", "data_version"),
)

LINEAGE_EDGES = Table(
    "lineage_edges",
    "Which version of what each cell was made from.",
    (
        _ASSET,
        _PARTITION,
        Column("data_version", "VARCHAR", "Content id of what the cell holds."),
        Column("upstream_asset", "VARCHAR", "Name of the asset it read."),
        Column("upstream_partition", "VARCHAR", "The partition it read; null where there is none.", nullable=True),
        Column("upstream_data_version", "VARCHAR", "Content id of what it read."),
    ),
    key=("asset", "partition", "data_version", "upstream_asset", "upstream_partition"),
)

ATLAS = Table(
    "atlas",
    "Facts about this catalog: schema version, version, content id, config, and the build of the program that made it.",
    (
        Column("key", "VARCHAR", "Name of the fact."),
        Column("value", "VARCHAR", "The fact."),
    ),
    key=("key",),
    volatile=True,
)

PARQUET_FILES = Table(
    "parquet_files",
    "The manifest of the tables held as Parquet beside the catalog; readers make views over these files.",
    (
        Column("table_name", "VARCHAR", "The table that the file is part of."),
        Column("path", "VARCHAR", "Path of the file, relative to the store."),
        Column("sha256", "VARCHAR", "SHA-256 of the file."),
        Column("size", "BIGINT", "Size of the file, in bytes."),
        Column("n_rows", "BIGINT", "Number of rows."),
    ),
    key=("table_name", "path"),
    volatile=True,
)

LINEAGE_CLOSURE = View(
    "lineage_closure",
    "Every cell with every cell that it was made from, directly or through others: upwards by asset and partition, "
    "downwards by from_asset and from_partition.",
    (
        _ASSET,
        _PARTITION,
        Column("from_asset", "VARCHAR", "Name of an asset that it comes from."),
        Column("from_partition", "VARCHAR", "The partition of that; null where there is none.", nullable=True),
        Column("depth", "INTEGER", "Number of steps between them, the fewest; 1 is a direct input."),
    ),
    """
    WITH RECURSIVE steps AS (
        SELECT DISTINCT asset, partition, upstream_asset, upstream_partition FROM lineage_edges
    ), walked(asset, partition, from_asset, from_partition, depth) AS (
        SELECT asset, partition, upstream_asset, upstream_partition, 1 FROM steps
        UNION
        SELECT w.asset, w.partition, s.upstream_asset, s.upstream_partition, w.depth + 1
        FROM walked w JOIN steps s ON s.asset = w.from_asset AND s.partition IS NOT DISTINCT FROM w.from_partition
    )
    SELECT asset, partition, from_asset, from_partition, min(depth)::INTEGER AS depth FROM walked
    GROUP BY ALL ORDER BY ALL
    """,
)

TABLES = (CONCEPTS, CONCEPT_SCORES, EVALUATION, CHECKS, THRESHOLDS, RUNS, LINEAGE, LINEAGE_EDGES, ATLAS, PARQUET_FILES)
VIEWS = (LINEAGE_CLOSURE,)
