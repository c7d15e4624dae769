"""Tables about labels: what features are called, by whom, on what evidence, and how well it holds."""

from sae.catalog.table import Column, Table, View, feature_columns, run_id_column, time_column

LABELS = Table(
    "labels",
    "Every label ever written, append-only, with all it was made from.",
    (
        Column("label_id", "VARCHAR", "Hash of feature, labeler, model, prompt, seed and attempt."),
        *feature_columns(),
        Column("label", "VARCHAR", "A short name; empty where the attempt failed."),
        Column("explanation", "VARCHAR", "A sentence that says when the feature is active."),
        Column("confidence", "DOUBLE", "The labeler's own confidence, 0 to 1.", nullable=True),
        Column("labeler", "VARCHAR", "Who wrote it.", values=("lexical", "openai", "human", "imported")),
        Column("model", "VARCHAR", "Model or method of the labeler.", nullable=True),
        Column("prompt_version", "VARCHAR", "Version of the prompt's wording.", nullable=True),
        Column("prompt_sha256", "VARCHAR", "SHA-256 of the prompt.", nullable=True),
        Column(
            "prompt",
            "VARCHAR",
            "The messages as they were sent; where no model was asked, what the label was made from.",
            nullable=True,
        ),
        Column("seed", "BIGINT", "Seed of the labeler.", nullable=True),
        Column("temperature", "DOUBLE", "Sampling temperature.", nullable=True),
        Column("attempt", "INTEGER", "Number of the attempt."),
        Column("input_tokens", "BIGINT", "Tokens sent.", nullable=True),
        Column("output_tokens", "BIGINT", "Tokens received.", nullable=True),
        Column("cost_usd", "DOUBLE", "Price paid, US dollars.", nullable=True, volatile=True),
        Column("raw_reply", "VARCHAR", "The reply as it came.", nullable=True),
        Column(
            "status",
            "VARCHAR",
            "How the attempt ended; `forgotten` where it showed a document that was removed on request.",
            values=("ok", "refused", "empty", "truncated", "malformed", "failed", "forgotten"),
        ),
        Column("origin", "VARCHAR", "New, or carried over.", values=("new", "carried", "human", "imported")),
        Column("parent_label_id", "VARCHAR", "The label it was carried from or corrects.", nullable=True),
        run_id_column(),
        time_column("created_at", "When it was written"),
    ),
    key=("label_id",),
    sort=("dictionary_id", "index", "label_id"),
)

LABEL_EXAMPLES = Table(
    "label_examples",
    "The examples that a label was written from, and those kept back to score it.",
    (
        Column("label_id", "VARCHAR", "The label."),
        Column("example_id", "VARCHAR", "The example (see examples)."),
        Column("use", "VARCHAR", "Shown to the labeler, or held out.", values=("shown", "held_out")),
    ),
    key=("label_id", "example_id"),
)

LABEL_SCORES = Table(
    "label_scores",
    "How well labels predict their features.",
    (
        Column("label_id", "VARCHAR", "The label."),
        Column(
            "scorer",
            "VARCHAR",
            "An LLM's detection, fuzzing, simulation or specificity; a rule read from the label; the truth.",
            values=("detection", "fuzzing", "simulation", "specificity", "rule", "truth"),
        ),
        Column("score", "DOUBLE", "The score; its scale is the scorer's, 1 is best.", nullable=True),
        Column("n", "BIGINT", "Number of examples judged."),
        Column("details", "JSON", "Counts and settings behind the score.", nullable=True),
        Column("model", "VARCHAR", "Model of the scorer.", nullable=True),
        Column("seed", "BIGINT", "Seed of the scorer.", nullable=True),
        run_id_column(),
        time_column("created_at", "When it was scored"),
    ),
    key=("label_id", "scorer", "model", "seed"),
)

LABEL_REVIEWS = Table(
    "label_reviews",
    "What people say of labels; and a rejection by `carrying` of each carried label that scored under the threshold.",
    (
        Column("review_id", "VARCHAR", "Id of the review."),
        Column("label_id", "VARCHAR", "The label reviewed."),
        Column("reviewer", "VARCHAR", "Who reviewed it."),
        Column("verdict", "VARCHAR", "What the reviewer decided.", values=("accept", "reject", "rewrite")),
        Column("proposed_label", "VARCHAR", "The label that a rewrite puts in its place.", nullable=True),
        Column("note", "VARCHAR", "The reviewer's words.", nullable=True),
        time_column("created_at", "When it was written"),
    ),
    key=("review_id",),
)

LABEL_RENEWALS = Table(
    "label_renewals",
    "Labels that their labeler gave again after another had labelled the feature: the config went back to it.",
    (
        Column("label_id", "VARCHAR", "The label, which is in force again."),
        Column("renewal", "INTEGER", "How many-th time, from 1."),
        run_id_column(),
        time_column("renewed_at", "When it was given again"),
    ),
    key=("label_id", "renewal"),
)

CURRENT_LABELS = View(
    "current_labels",
    "The label in force, one row a feature: a person's wins, then one that a person accepted, then the one that a "
    "labeler gave last and that ended well; one that was rejected is out.",
    LABELS.columns,
    """
    WITH last_verdicts AS (
        SELECT label_id, verdict FROM label_reviews
        QUALIFY row_number() OVER (PARTITION BY label_id ORDER BY created_at DESC, review_id) = 1
    ), last_given AS (
        SELECT label_id, max(renewed_at) AS renewed_at FROM label_renewals GROUP BY label_id
    )
    SELECT labels.* FROM labels LEFT JOIN last_verdicts USING (label_id) LEFT JOIN last_given USING (label_id)
    WHERE status = 'ok' AND verdict IS DISTINCT FROM 'reject'
    QUALIFY row_number() OVER (
        PARTITION BY feature_id
        ORDER BY (labeler = 'human' AND origin <> 'carried') DESC, coalesce(verdict = 'accept', false) DESC,
            (labeler = 'human') DESC, greatest(created_at, renewed_at) DESC, attempt DESC, label_id
    ) = 1
    ORDER BY dictionary_id, "index"
    """,
)

LABELS_TO_REVIEW = View(
    "labels_to_review",
    "Labels in force that scored under `checks.label_score`, a row for each such score: for a person to look at "
    "(`atlas review`). The rule counts where no model judged the label; what a person wrote or accepted is not listed.",
    (
        *(LABELS.column(name) for name in ("label_id", "feature_id", "dictionary_id", "index", "label", "labeler")),
        *(LABEL_SCORES.column(name) for name in ("scorer", "score", "n")),
        Column("threshold", "DOUBLE", "The least score, `checks.label_score` in the config."),
    ),
    """
    WITH newest AS (
        SELECT * FROM label_scores WHERE scorer IN ('detection', 'fuzzing', 'rule', 'truth') AND score IS NOT NULL
        QUALIFY row_number() OVER (PARTITION BY label_id, scorer ORDER BY created_at DESC, model, seed) = 1
    ), judged AS (
        SELECT label_id FROM newest WHERE scorer IN ('detection', 'fuzzing')
    )
    SELECT label_id, feature_id, dictionary_id, "index", label, labeler, scorer, score, n, thresholds.value AS threshold
    FROM current_labels JOIN newest USING (label_id) JOIN thresholds ON thresholds.name = 'label_score'
    WHERE score < thresholds.value AND labeler <> 'human'
        AND (scorer <> 'rule' OR label_id NOT IN (SELECT label_id FROM judged))
        AND label_id NOT IN (SELECT label_id FROM label_reviews WHERE verdict = 'accept')
    ORDER BY dictionary_id, "index", scorer
    """,
)

TABLES = (LABELS, LABEL_EXAMPLES, LABEL_SCORES, LABEL_REVIEWS, LABEL_RENEWALS)
VIEWS = (CURRENT_LABELS, LABELS_TO_REVIEW)
