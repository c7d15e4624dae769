"""Tables about features: statistics, places on the map, examples, neighbours, co-activations, logit weights."""

from sae.catalog.table import Column, Table, View, feature_columns

_INDEX_FIRST = ("dictionary_id", "index")

FEATURES = Table(
    "features",
    "One row a feature: how often and how strongly it is active, on what, and where it lies on the map.",
    (
        *feature_columns(),
        Column("density", "DOUBLE", "Share of tokens on which it is active, 0 to 1."),
        Column("max_activation", "DOUBLE", "Largest activation, in the model's own scale (decoder rows have norm 1)."),
        Column("mean_activation", "DOUBLE", "Mean over the tokens on which it is active; 0 where it never is."),
        Column("is_dead", "BOOLEAN", "Silent on all tokens of the pinned shards."),
        Column("decoder_norm", "DOUBLE", "L2 norm of its decoder row."),
        Column("top_tokens", "VARCHAR[]", "The tokens on which it is most active, strongest first."),
        Column("languages", "MAP(VARCHAR, DOUBLE)", "Share of its active tokens in each language; sums to 1."),
        Column("modalities", "MAP(VARCHAR, DOUBLE)", "Share of its active tokens in each modality; sums to 1."),
        Column(
            "max_neuron_correlation",
            "DOUBLE",
            "Largest absolute Pearson correlation with a dimension of the site, 0 to 1.",
            nullable=True,
        ),
        Column("x", "DOUBLE", "Place on the map, horizontal; only distances have a meaning.", nullable=True),
        Column("y", "DOUBLE", "Place on the map, vertical.", nullable=True),
        Column("cluster_id", "INTEGER", "Cluster on the map; -1 where it lies in none.", nullable=True),
    ),
    key=("feature_id",),
    sort=_INDEX_FIRST,
)

CLUSTERS = Table(
    "clusters",
    "Groups of features that lie together on the map.",
    (
        Column("dictionary_id", "VARCHAR", "The dictionary."),
        Column("cluster_id", "INTEGER", "Number of the cluster; kept in the next version as far as its members are."),
        Column("label", "VARCHAR", "A name made from its members' labels."),
        Column("size", "INTEGER", "Number of features."),
        Column("x", "DOUBLE", "Centre on the map, horizontal."),
        Column("y", "DOUBLE", "Centre on the map, vertical."),
    ),
    key=("dictionary_id", "cluster_id"),
)

FAMILIES = Table(
    "families",
    "Feature splitting: a feature of a small dictionary and those of a larger one that lie in its direction.",
    (
        Column("parent_feature_id", "VARCHAR", "Feature of the smaller dictionary."),
        Column("child_feature_id", "VARCHAR", "Feature of the larger dictionary."),
        Column("cosine", "DOUBLE", "Cosine of the two decoder rows."),
    ),
    key=("parent_feature_id", "child_feature_id"),
)

EXAMPLES = Table(
    "examples",
    "Where features are active: windows of tokens with an activation each, by rank, by quantile and at random.",
    (
        Column("example_id", "VARCHAR", "Hash of feature, document, position and window."),
        *feature_columns(),
        Column(
            "kind",
            "VARCHAR",
            "Why it was chosen: strongest, from a bin of activations, at random, or a place where it is silent.",
            values=("top", "quantile", "random", "out_of_context"),
        ),
        Column("rank", "INTEGER", "Order within the kind (and bin), from 1."),
        Column(
            "bin",
            "INTEGER",
            "Which of twelve equal parts of 0 to the feature's maximum the activation lies in, from 0; null if silent.",
            nullable=True,
        ),
        Column("document_id", "VARCHAR", "The document."),
        Column("position", "INTEGER", "Token position in the document, from 0."),
        Column("activation", "FLOAT", "Activation at the position."),
        Column("tokens", "VARCHAR[]", "The window's tokens."),
        Column("activations", "FLOAT[]", "Activation on each of the window's tokens."),
        Column("language", "VARCHAR", "Language of the position."),
        Column("modality", "VARCHAR", "Modality of the position.", values=("text", "code", "image")),
        Column("image_path", "VARCHAR", "Path in the store of the document's picture, if any.", nullable=True),
    ),
    key=("feature_id", "kind", "bin", "rank"),
    sort=(*_INDEX_FIRST, "kind", "bin", "rank"),
    parquet=True,
)

NEIGHBORS = Table(
    "neighbors",
    "The features with the most similar decoder rows.",
    (
        *feature_columns(),
        Column("rank", "INTEGER", "Order by similarity within the scope, from 1."),
        Column("neighbor_id", "VARCHAR", "The neighbour's feature id."),
        Column("similarity", "FLOAT", "Cosine of the two decoder rows."),
        Column("scope", "VARCHAR", "In the same dictionary, or in another one of the site.", values=("same", "cross")),
    ),
    key=("feature_id", "scope", "rank"),
    sort=(*_INDEX_FIRST, "scope", "rank"),
    parquet=True,
)

COACTIVATIONS = Table(
    "coactivations",
    "The features that are active on the same tokens.",
    (
        *feature_columns(),
        Column("rank", "INTEGER", "Order by Jaccard index, from 1."),
        Column("other_id", "VARCHAR", "The other feature's id, in the same dictionary."),
        Column("jaccard", "FLOAT", "Tokens on which both are active over tokens on which either is, 0 to 1."),
        Column("pmi", "FLOAT", "Pointwise mutual information of being active, in bits."),
    ),
    key=("feature_id", "rank"),
    sort=(*_INDEX_FIRST, "rank"),
    parquet=True,
)

LOGIT_WEIGHTS = Table(
    "logit_weights",
    "The tokens that a feature makes likelier or less likely directly: unembedding times decoder row.",
    (
        *feature_columns(),
        Column(
            "sign", "VARCHAR", "Whether the token becomes likelier or less likely.", values=("positive", "negative")
        ),
        Column("rank", "INTEGER", "Order by size within the sign, from 1."),
        Column("token_id", "INTEGER", "The token's number in the vocabulary."),
        Column("token", "VARCHAR", "The token."),
        Column("weight", "FLOAT", "Logit for one unit of activation, the feature's median subtracted."),
    ),
    key=("feature_id", "sign", "rank"),
    sort=(*_INDEX_FIRST, "sign", "rank"),
    parquet=True,
)

FEATURE_MATCHES = Table(
    "feature_matches",
    "What became of each feature from each replaced version of a dictionary to the current one.",
    (
        Column("feature_id", "VARCHAR", "The feature, `<dictionary_id>:<index>`; null if retired.", nullable=True),
        Column("dictionary_id", "VARCHAR", "The newer dictionary."),
        Column("index", "INTEGER", "Row of the feature in the newer dictionary; null if retired.", nullable=True),
        Column("previous_feature_id", "VARCHAR", "Feature of the version before; null for a new one.", nullable=True),
        Column("previous_dictionary_id", "VARCHAR", "The dictionary that was replaced."),
        Column("cosine", "DOUBLE", "Cosine of the two decoder rows.", nullable=True),
        Column("activation_correlation", "DOUBLE", "Pearson correlation of their activations.", nullable=True),
        Column("status", "VARCHAR", "What happened.", values=("carried", "split", "merged", "new", "retired")),
    ),
    key=("feature_id", "previous_feature_id", "previous_dictionary_id"),
    sort=(*_INDEX_FIRST, "previous_dictionary_id", "previous_feature_id"),
)

SUCCESSORS = View(
    "successors",
    "Where each feature of a replaced dictionary went: a row for each feature of the current one that has it now, the "
    "one that carries it on first, or one row without a successor where it is retired.",
    (
        Column("feature_id", "VARCHAR", "The feature of the replaced dictionary."),
        Column("dictionary_id", "VARCHAR", "The dictionary that was replaced."),
        Column("rank", "INTEGER", "Order of its successors, from 1."),
        Column(
            "status",
            "VARCHAR",
            "carried: the successor is the same feature; split: it took a part of it; merged: it carries on another "
            "feature, and this one with it; retired: there is none.",
            values=("carried", "split", "merged", "retired"),
        ),
        Column("successor_id", "VARCHAR", "The feature of the current dictionary; null if retired.", nullable=True),
        Column("successor_dictionary_id", "VARCHAR", "The current dictionary."),
        *(FEATURE_MATCHES.column(name) for name in ("cosine", "activation_correlation")),
    ),
    """
    SELECT previous_feature_id AS feature_id, previous_dictionary_id AS dictionary_id,
        row_number() OVER (
            PARTITION BY previous_feature_id, dictionary_id
            ORDER BY (status = 'carried') DESC, cosine DESC NULLS LAST, feature_id
        )::INTEGER AS rank,
        status, feature_id AS successor_id, dictionary_id AS successor_dictionary_id, cosine, activation_correlation
    FROM feature_matches WHERE previous_feature_id IS NOT NULL
    ORDER BY previous_dictionary_id, split_part(previous_feature_id, ':', 2)::INTEGER, rank
    """,
)

TABLES = (FEATURES, CLUSTERS, FAMILIES, EXAMPLES, NEIGHBORS, COACTIVATIONS, LOGIT_WEIGHTS, FEATURE_MATCHES)
VIEWS = (SUCCESSORS,)
