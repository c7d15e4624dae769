"""The subject: a language model under study, with the codec that feeds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sae.errors import AtlasError
from sae.models.encoding import Codec, Encoded, Modality
from sae.models.structure import text_model_path

_FINAL_NORMS = ("ln_f", "final_layer_norm", "final_layernorm", "norm", "final_norm")
"""What the model families call the normalisation before the unembedding."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model in evaluation mode, none of whose parameters asks for a gradient."""

    name: str
    """The config's name for it."""
    model_id: str
    """Hash of the weights."""
    architecture: str
    """Class of the model, for example `LlamaForCausalLM`."""
    module: nn.Module
    """`module(input_ids=…, attention_mask=…)` returns an object with `logits` [b, t, v]."""
    codec: Codec
    n_layers: int
    d_model: int
    n_parameters: int
    modalities: tuple[Modality, ...]
    """What it reads."""
    source: str
    revision: str | None
    predicts_next: bool = True
    """Whether its logits at a position are of the next token; an encoder's are not, where it has any."""

    @property
    def device(self) -> torch.device:
        """Where its parameters lie."""
        return next(self.module.parameters()).device


def count_parameters(module: nn.Module) -> int:
    """Number of parameters; tied ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def freeze(module: nn.Module) -> nn.Module:
    """Evaluation mode, no gradients: what a subject's module must be."""
    module.eval()
    module.requires_grad_(False)
    return module


def collate(subject: Subject, encoded: Sequence[Encoded]) -> dict[str, Tensor]:
    """One batch from several documents, padded on the right, on the subject's device.

    Returns `input_ids` int64 [b, t], `attention_mask` int64 [b, t] (1 = real) and, where there are pictures, what the
    model reads of them (`Codec.picture_inputs`), in the order of the documents.
    Raises AtlasError on an empty batch, and on a document longer than the context.
    """
    if not encoded or not all(len(document) for document in encoded):
        raise AtlasError("A batch needs at least one document, and every document at least one token.")
    length = max(len(document) for document in encoded)
    if length > subject.codec.context_size:
        raise AtlasError(f"{length} tokens are longer than the {subject.codec.context_size} that {subject.name} reads.")
    ids = np.full((len(encoded), length), subject.codec.pad_id, dtype=np.int64)
    mask = np.zeros((len(encoded), length), dtype=np.int64)
    for row, document in enumerate(encoded):
        ids[row, : len(document)] = document.token_ids
        mask[row, : len(document)] = 1
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if any(document.image is not None for document in encoded):
        batch |= subject.codec.picture_inputs(encoded, length)
    kind = next(subject.module.parameters()).dtype
    return {
        key: tensor.to(subject.device, kind if tensor.is_floating_point() else tensor.dtype)
        for key, tensor in batch.items()
    }


def extended(inputs: dict[str, Tensor], ids: Tensor) -> dict[str, Tensor]:
    """A collated batch with one more text token `ids` [b] at the end of each row."""
    mask = inputs["attention_mask"]
    longer = {
        key: torch.cat([tensor, tensor.new_zeros(len(ids), 1)], dim=1)
        for key, tensor in inputs.items()
        if key.endswith("token_type_ids")
    }
    return inputs | {
        "input_ids": torch.cat([inputs["input_ids"], ids[:, None]], dim=1),
        "attention_mask": torch.cat([mask, mask.new_ones(len(ids), 1)], dim=1),
        **longer,
    }


def logits(subject: Subject, inputs: dict[str, Tensor]) -> Tensor:
    """Next-token logits [b, t, v] of a collated batch. Raises AtlasError for a model without a language head."""
    return logits_of(subject, subject.module(**inputs))


def logits_of(subject: Subject, output: Any) -> Tensor:
    """The logits [b, t, v] in what a forward pass gave. Raises AtlasError for a model without a language head."""
    scores = getattr(output, "logits", None)
    if not isinstance(scores, Tensor):
        raise AtlasError(f"{subject.name} ({subject.architecture}) has no language head, so it predicts no tokens.")
    return scores


def unembedding(subject: Subject) -> Tensor:
    """W_U [v, d] with the final normalisation folded in, so that `W_U @ direction` are its direct logit weights.

    The gain multiplies each column; a LayerNorm also centres, so its rows lose their mean. What the normalisation
    divides by differs from position to position and is left out (Elhage et al. 2021, "A Mathematical Framework for
    Transformer Circuits", on folding LayerNorm).
    Raises AtlasError for a model without an unembedding or a final normalisation that is known.
    """
    head = getattr(subject.module, "get_output_embeddings", lambda: None)()
    if head is None:
        raise AtlasError(
            f"{subject.name} ({subject.architecture}) has no unembedding, so features have no logit weights."
        )
    weight = cast(Tensor, head.weight).detach().float()
    norm = final_norm(subject.module)
    if isinstance(norm, nn.LayerNorm):
        folded = weight if norm.weight is None else weight * norm.weight.detach().float()
        return folded - folded.mean(dim=1, keepdim=True)
    return weight * _gain(norm, weight)


def final_norm(module: nn.Module) -> nn.Module:
    """The normalisation before the unembedding: the text model's shallowest module with a name that families use."""
    text = text_model_path(module)
    found = [
        (path.count("."), path, child)
        for path, child in module.named_modules()
        if path.startswith(text) and path.rpartition(".")[2] in _FINAL_NORMS and hasattr(child, "weight")
    ]
    if not found:
        raise AtlasError(f"{type(module).__name__} has no final normalisation called {', '.join(_FINAL_NORMS)}.")
    return min(found, key=lambda entry: entry[:2])[2]


def _gain(norm: nn.Module, like: Tensor) -> Tensor:
    # Ones have a root mean square of 1, so an RMSNorm maps them to its gain, whether it stores g or g - 1.
    parameter = next(norm.parameters())
    with torch.no_grad():
        return norm(torch.ones(like.shape[1], dtype=parameter.dtype, device=parameter.device)).float()
