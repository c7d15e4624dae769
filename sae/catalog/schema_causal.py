"""Tables about what features do: prompts, attribution, interventions, steering."""

from sae.catalog.table import Column, Table, feature_columns, run_id_column

_FEATURE_ID, _DICTIONARY_ID, _INDEX = feature_columns()
_PROMPT_ID = Column("prompt_id", "VARCHAR", "The prompt (see prompts).")

PROMPTS = Table(
    "prompts",
    "The questions whose answers are explained.",
    (
        Column("prompt_id", "VARCHAR", "Id in the config."),
        Column("model_id", "VARCHAR", "The model asked."),
        Column("text", "VARCHAR", "The text."),
        Column("prompt_sha256", "VARCHAR", "SHA-256 of all that is asked: text, target and baseline."),
        Column(
            "target",
            "VARCHAR",
            "The continuation whose logit is explained; null where it is only steered.",
            nullable=True,
        ),
        Column("baseline", "VARCHAR", "The continuation it is compared with; null for the mean logit.", nullable=True),
        Column("tokens", "VARCHAR[]", "The text's tokens."),
        Column("logit_diff", "DOUBLE", "Logit of the target minus that of the baseline.", nullable=True),
        Column("predicted", "VARCHAR", "The model's likeliest next token."),
        Column("is_correct", "BOOLEAN", "Whether that is the target.", nullable=True),
    ),
    key=("prompt_id", "model_id"),
)

ATTRIBUTION_RUNS = Table(
    "attribution_runs",
    "How well a dictionary's features account for the answer to a prompt.",
    (
        _PROMPT_ID,
        _DICTIONARY_ID,
        Column("prompt_sha256", "VARCHAR", "SHA-256 of the prompt explained."),
        Column("logit_diff", "DOUBLE", "Logit of the target minus that of the baseline."),
        Column("attributed", "DOUBLE", "Sum of the features' attributions, in logits."),
        Column("bias_attribution", "DOUBLE", "Attribution of the dictionary's bias, in logits."),
        Column("error_attribution", "DOUBLE", "Attribution of the reconstruction error, in logits."),
        Column("first_order", "DOUBLE", "Activations times gradient: what features, bias and error add up to."),
        Column("error_share", "DOUBLE", "The error's part of the three, each by its magnitude."),
        Column("ablation_spearman", "DOUBLE", "Rank correlation of attribution and ablation effect.", nullable=True),
        Column("control_spearman", "DOUBLE", "The same with the control's effects.", nullable=True),
        Column("ablation_effect", "DOUBLE", "Mean magnitude of the ablation effects.", nullable=True),
        Column("control_effect", "DOUBLE", "The same of the controls.", nullable=True),
        Column("n_features", "INTEGER", "Number of active (position, feature) pairs."),
        run_id_column(),
    ),
    key=("prompt_id", "dictionary_id"),
)

ATTRIBUTIONS = Table(
    "attributions",
    "The features on the way to an answer: activation times gradient, checked by ablation.",
    (
        _PROMPT_ID,
        _DICTIONARY_ID,
        _FEATURE_ID,
        _INDEX,
        Column("position", "INTEGER", "Token position in the prompt, from 0."),
        Column("token", "VARCHAR", "The token there."),
        Column("activation", "DOUBLE", "Activation there."),
        Column("attribution", "DOUBLE", "Activation times gradient of the logit difference, in logits."),
        Column(
            "ablation_effect",
            "DOUBLE",
            "Logit difference with the feature minus without it, in logits; null where not ablated.",
            nullable=True,
        ),
        Column(
            "control_effect",
            "DOUBLE",
            "The same of a step as long along a random feature, at the same position.",
            nullable=True,
        ),
        Column("rank", "INTEGER", "Order by attribution, from 1: what pushes hardest towards the target."),
    ),
    key=("prompt_id", "dictionary_id", "feature_id", "position"),
    sort=("prompt_id", "dictionary_id", "rank"),
)

ATTRIBUTION_EDGES = Table(
    "attribution_edges",
    "Which features act on which later ones, on a prompt.",
    (
        _PROMPT_ID,
        Column("source_feature_id", "VARCHAR", "The feature that acts."),
        Column("source_position", "INTEGER", "Its token position."),
        Column("target_feature_id", "VARCHAR", "The feature acted on."),
        Column("target_position", "INTEGER", "Its token position."),
        Column("weight", "DOUBLE", "Change of the target's activation attributed to the source."),
    ),
    key=("prompt_id", "source_feature_id", "source_position", "target_feature_id", "target_position"),
)

INTERVENTIONS = Table(
    "interventions",
    "What the model answers when features are changed, beside controls.",
    (
        _PROMPT_ID,
        _DICTIONARY_ID,
        Column(
            "kind",
            "VARCHAR",
            "What was done: features taken out, exchanged, or held.",
            values=("ablate", "swap", "steer"),
        ),
        Column("feature_ids", "VARCHAR[]", "The features changed; a control's are random ones."),
        Column("put_in", "VARCHAR[]", "Those of them that are held at the strength; the others are held at 0."),
        Column("strength", "DOUBLE", "Multiple of each feature's maximal activation.", nullable=True),
        Column("is_control", "BOOLEAN", "Whether this is a change of the same norm along random features."),
        Column("predicted_before", "VARCHAR", "The model's likeliest next token before."),
        Column("predicted_after", "VARCHAR", "The likeliest next token after."),
        Column(
            "logit_diff_before",
            "DOUBLE",
            "Logit difference of the prompt before; null where it asks for no answer.",
            nullable=True,
        ),
        Column("logit_diff_after", "DOUBLE", "Logit difference of the prompt after.", nullable=True),
        Column("completion", "VARCHAR", "What the model goes on with, where it was let.", nullable=True),
    ),
    key=("prompt_id", "dictionary_id", "kind", "feature_ids", "strength", "is_control"),
)

STEERING = Table(
    "steering",
    "What the model writes with a feature held at a strength.",
    (
        _FEATURE_ID,
        _DICTIONARY_ID,
        _INDEX,
        Column("prompt_id", "VARCHAR", "What was continued (see prompts)."),
        Column("strength", "DOUBLE", "Multiple of the feature's maximal activation; 0 leaves the model as it is."),
        Column("completion", "VARCHAR", "The continuation, chosen greedily."),
        Column(
            "logit_shift",
            "DOUBLE",
            "Change of the logit, against the mean logit, of the token that the model alone puts first.",
            nullable=True,
        ),
    ),
    key=("feature_id", "prompt_id", "strength"),
    sort=("dictionary_id", "index", "prompt_id", "strength"),
)

TABLES = (PROMPTS, ATTRIBUTION_RUNS, ATTRIBUTIONS, ATTRIBUTION_EDGES, INTERVENTIONS, STEERING)
