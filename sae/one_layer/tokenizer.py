"""A small byte-level byte-pair tokenizer (Sennrich et al. 2016; Radford et al. 2019), learnt from a model's texts."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

START = "<|start|>"
"""Stands before each document."""
VOCABULARY = 4096
CONTEXT = 256
"""Longest stretch that the model reads; Towards Monosemanticity has 250."""


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn merges from some texts, until there are 4,096 tokens or nothing left to merge.

    Each text is read with `<|start|>` before it, which is padding too. The same texts give the same tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    start = tokenizer.token_to_id(START)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, start)])
    names = {"bos_token": START, "eos_token": START, "pad_token": START}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names)
