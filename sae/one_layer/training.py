"""A one-layer transformer as Towards Monosemanticity takes apart, trained from nothing on Python's own texts.

Bricken et al. 2023, "Problem Setup": one block of attention and an MLP of 512 ReLU neurons on a residual stream of 128
dimensions. Theirs read 100 billion tokens of the Pile; this one reads some millions of documentation and source code.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from sae.corpora.python_docs import python_texts
from sae.errors import AtlasError
from sae.one_layer.tokenizer import CONTEXT, train_tokenizer

D_MODEL, D_MLP, HEADS = 128, 512, 4
_ROWS = 8
"""Stretches of CONTEXT tokens a step."""
_TOKENS_A_WORD = 2
"""At least half of the training tokens are of texts that come for the first time."""
_RATE = 1e-2
_DECAY = 0.1
_WARM_UP = 0.02
_CONSTANT = 0.4


def train_one_layer(
    tokens: int, text_seed: int, seed: int, on_step: Callable[[int, int], None] = lambda done, total: None
) -> tuple[GPTNeoXForCausalLM, PreTrainedTokenizerFast]:
    """Train tokenizer and model on `tokens` tokens of the running Python's documentation and source code.

    `text_seed` decides which texts, and so the tokenizer; `seed` the weights' start and the order of reading: models
    of other seeds read the same tokens. `on_step(done, total)` after each step. Raises AtlasError on a loss that is
    not finite.
    """
    texts = list(python_texts(text_seed, max(1, tokens // _TOKENS_A_WORD)))
    tokenizer = train_tokenizer(texts)
    generator = torch.Generator().manual_seed(seed)
    model = new_model(len(tokenizer), generator)
    rows = token_rows(texts, tokenizer)
    steps = math.ceil(tokens / (_ROWS * CONTEXT))
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        while len(order) < _ROWS:
            order = torch.cat([order, torch.randperm(len(rows), generator=generator)])
        batch, order = rows[order[:_ROWS]], order[_ROWS:]
        loss = next_token_loss(model, batch)
        if not torch.isfinite(loss):
            raise AtlasError(f"The one-layer model's loss is {loss.item()} at step {step}.")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        on_step(step + 1, steps)
    return model.eval().requires_grad_(False), tokenizer


def new_model(vocabulary: int, generator: torch.Generator) -> GPTNeoXForCausalLM:
    """The model before its first step: matrices normal with the inverse root of their inputs, biases 0, gains 1."""
    config = GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=D_MODEL,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        intermediate_size=D_MLP,
        hidden_act="relu",
        max_position_embeddings=CONTEXT,
        use_parallel_residual=False,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        # transformers draws weights from the global generator, which is then put back; they are replaced here.
        model = GPTNeoXForCausalLM(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            scale = 1 / math.sqrt(D_MODEL) if "embed" in name else 1 / math.sqrt(parameter.shape[1])
            drawn = scale * torch.randn(parameter.shape, generator=generator)
        else:
            drawn = torch.ones_like(parameter) if name.endswith("norm.weight") else torch.zeros_like(parameter)
        parameter.data = drawn
    return model


def token_rows(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """All texts after one another, each with its start, in rows of CONTEXT tokens, int64 [n, 256]; the rest is left.

    Raises AtlasError where they do not fill a row.
    """
    encoded: Any = tokenizer(texts, truncation=False, verbose=False)
    ids = torch.tensor([token for document in encoded["input_ids"] for token in document])
    if len(ids) < CONTEXT:
        raise AtlasError(f"The texts have {len(ids)} tokens, less than the {CONTEXT} of one row: raise `tokens`.")
    return ids[: len(ids) // CONTEXT * CONTEXT].view(-1, CONTEXT)


def next_token_loss(model: nn.Module, rows: Tensor) -> Tensor:
    """Mean cross-entropy, nats a token, of rows int64 [n, t]."""
    logits = model(input_ids=rows, use_cache=False).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())


def _rate(step: int, steps: int) -> float:
    warm = (step + 1) / max(1, _WARM_UP * steps)
    left = (steps - step) / max(1.0, (1 - _CONSTANT) * steps)
    return min(1.0, warm, left)
