"""Whether a model predicts the next token: what decides if its loss says anything of what a dictionary leaves out."""

from typing import Any

from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES


def predicts_next(model: Any) -> bool:
    """Whether the logits of a transformers model at a position are of the token after it, read from those up to it.

    Not those of an encoder without a head, nor those of a masked language model, which reads what it would predict. A
    causal head on an encoder (`BertLMHeadModel`) reads both ways too, unless its config says `is_decoder`.
    """
    if model.get_output_embeddings() is None or type(model).__name__ in MODEL_FOR_MASKED_LM_MAPPING_NAMES.values():
        return False
    config = model.config.get_text_config()
    return config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or bool(getattr(config, "is_decoder", False))
