"""Tables about what is read and what is trained: models, documents, shards, dictionaries."""

from sae.catalog.table import Column, Table, run_id_column, time_column

MODELS = Table(
    "models",
    "The subject models whose activations are read.",
    (
        Column("model_id", "VARCHAR", "Hash of the weights."),
        Column("name", "VARCHAR", "Name in the config."),
        Column("architecture", "VARCHAR", "Class of the model, for example LlamaForCausalLM."),
        Column("n_layers", "INTEGER", "Number of blocks."),
        Column("d_model", "INTEGER", "Width of the residual stream, in dimensions."),
        Column("n_parameters", "BIGINT", "Number of weights."),
        Column("vocabulary", "INTEGER", "Number of tokens the model knows."),
        Column("modalities", "VARCHAR[]", "What it reads: text, image."),
        Column("source", "VARCHAR", "Where it came from: world, a hub id, a folder or a package."),
        Column("revision", "VARCHAR", "Commit of a hub id.", nullable=True),
    ),
    key=("model_id", "name"),
    sort=("name", "model_id"),
)

DOCUMENTS = Table(
    "documents",
    "The documents of the corpora, one row each.",
    (
        Column("document_id", "VARCHAR", "Hash of corpus, text and picture."),
        Column("corpus", "VARCHAR", "Name of the corpus in the config."),
        Column("shard", "VARCHAR", "The shard that holds it (see shards)."),
        Column("language", "VARCHAR", "ISO 639-1 code; `py` for code; `und` where unknown."),
        Column("modality", "VARCHAR", "What it is; `image` holds a picture.", values=("text", "code", "image")),
        Column("text", "VARCHAR", "The text; a picture stands in it as `<image>`."),
        Column("image_path", "VARCHAR", "Path of the picture in the store; null where there is none.", nullable=True),
        Column("n_tokens", "INTEGER", "Length in tokens of the first model that read it.", nullable=True),
        Column("source", "VARCHAR", "Where the text came from, for example a file.", nullable=True),
        Column("topic", "VARCHAR", "What it is about, where the corpus says so.", nullable=True),
    ),
    key=("document_id",),
    sort=("corpus", "shard", "document_id"),
)

SHARDS = Table(
    "shards",
    "The pieces that corpora are cut into, the unit of freshness.",
    (
        Column("shard", "VARCHAR", "Name, `<corpus>-<00000>`."),
        Column("corpus", "VARCHAR", "Name of the corpus in the config."),
        Column("sha256", "VARCHAR", "SHA-256 of the shard's file."),
        Column("n_documents", "BIGINT", "Number of documents."),
        Column("n_tokens", "BIGINT", "Number of tokens of the first model that read it.", nullable=True),
        time_column("created_at", "When it was written"),
        time_column("retired_at", "When it left the corpus; null while it is part of it", nullable=True),
    ),
    key=("shard", "sha256"),
)

DICTIONARIES = Table(
    "dictionaries",
    "The sparse autoencoders: what each was trained on and how good it is on held-out tokens.",
    (
        Column(
            "dictionary_id",
            "VARCHAR",
            "Hash of the weights and of the form of the encoder; of an imported one also of its files and its site.",
        ),
        Column("build_key", "VARCHAR", "Hash of all it was made from: config, inputs, code version, seed."),
        Column("site", "VARCHAR", "Where it reads, `<model>.<hookpoint>`."),
        Column("model_id", "VARCHAR", "The model it reads (see models)."),
        Column("hookpoint", "VARCHAR", "The module whose output it reads, for example `layers.12`."),
        Column("recipe", "VARCHAR", "Name of the recipe in the config."),
        Column(
            "architecture",
            "VARCHAR",
            "How it was trained.",
            values=(
                "standard",
                "l1",
                "gated",
                "topk",
                "batchtopk",
                "jumprelu",
                "matryoshka",
                "imported",
                "neurons",
            ),
        ),
        Column("d_in", "INTEGER", "Width of the activations, in dimensions."),
        Column("d_sae", "INTEGER", "Number of features."),
        Column("k", "INTEGER", "Active features a token, summed over nested groups; null where free.", nullable=True),
        Column(
            "tokens_trained", "BIGINT", "Tokens seen in training, repeats counted; null where imported.", nullable=True
        ),
        Column("fvu", "DOUBLE", "Fraction of variance unexplained, 0 is perfect.", nullable=True),
        Column("l0", "DOUBLE", "Mean number of active features a token.", nullable=True),
        Column("dead_fraction", "DOUBLE", "Share of features that were never active, 0 to 1.", nullable=True),
        Column(
            "ce_delta",
            "DOUBLE",
            "Rise of the cross-entropy with the reconstruction in, nats a token; null where the model predicts no next "
            "token (an encoder).",
            nullable=True,
        ),
        Column(
            "loss_recovered",
            "DOUBLE",
            "Share of the loss recovered against zero ablation, 1 is all; null where the model predicts no next token.",
            nullable=True,
        ),
        Column("code_version", "VARCHAR", "Version of the training code.", nullable=True),
        run_id_column(),
        time_column("created_at", "When it was trained"),
        Column("is_current", "BOOLEAN", "Whether it is the accepted dictionary of its site and recipe now."),
        Column("rejected_because", "VARCHAR", "The checks it failed; null where it was accepted.", nullable=True),
        Column("replaced_by", "VARCHAR", "The dictionary that took its place; null where none did.", nullable=True),
        Column("provenance", "JSON", "Model revision, hookpoint, shards, normalisation, config and seed."),
    ),
    key=("dictionary_id",),
)

DICTIONARY_SHARDS = Table(
    "dictionary_shards",
    "The shards that each dictionary was trained and judged on.",
    (
        Column("dictionary_id", "VARCHAR", "The dictionary."),
        Column("shard", "VARCHAR", "The shard of activations it read."),
        Column("data_version", "VARCHAR", "Content id of the shard's activations then."),
        Column("split", "VARCHAR", "Trained on, or held out to judge it.", values=("train", "held_out")),
    ),
    key=("dictionary_id", "shard"),
)

TABLES = (MODELS, DOCUMENTS, SHARDS, DICTIONARIES, DICTIONARY_SHARDS)
