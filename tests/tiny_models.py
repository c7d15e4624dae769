"""Tiny, randomly initialised transformers models of several families, with tokenizers trained on a few sentences."""

from pathlib import Path
from typing import Any

import polars as pl
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from tokenizers import decoders as token_decoders

from sae.corpora.documents import Document, documents_table
from sae.models.loading import load_subject, materialise_transformers
from sae.models.subject import Subject

SENTENCES = [
    "The Golden Gate Bridge is in San Francisco.",
    "Der Name der Brücke ist lang, 日本語も ある.",
    "def add(a, b):\n    return a + b\n",
    "Kobe Bryant played basketball for the Los Angeles Lakers.",
]
FAMILIES = ("gpt2", "gpt_neox", "llama", "bert")
CONTEXT = 32
N_LAYERS = 3
D_MODEL = 16


def tiny_tokenizer(family: str) -> Any:
    """Byte-level BPE with a beginning mark, or words between [CLS] and [SEP] for BERT."""
    if family == "bert":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        tokenizer.decoder = token_decoders.WordPiece()
        names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
        return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.decoder = token_decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>")


def tiny_model(family: str) -> Any:
    """A model of three blocks and 16 dimensions, the same each time."""
    sizes: dict[str, Any] = {
        "hidden_size": D_MODEL,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_hidden_layers": N_LAYERS,
    }
    common: dict[str, Any] = sizes | {"vocab_size": 320, "max_position_embeddings": CONTEXT}
    gpt2 = transformers.GPT2Config(vocab_size=320, n_positions=CONTEXT, n_embd=D_MODEL, n_layer=N_LAYERS, n_head=2)
    configs: dict[str, tuple[type, Any]] = {
        "gpt2": (transformers.GPT2LMHeadModel, gpt2),
        "gpt_neox": (transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig(**common)),
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**common, num_key_value_heads=1)),
        "bert": (transformers.BertForMaskedLM, transformers.BertConfig(**common)),
    }
    model_class, config = configs[family]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = model_class(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and name.endswith("weight"):
                parameter.data.uniform_(0.5, 1.5)  # Gains of 1 would hide a gain that is forgotten.
        return model.eval()


def tiny_subject(family: str, folder: Path) -> Subject:
    """A subject read back from `folder`, as the pipeline reads it."""
    saved, opened = folder / "source", folder / "model"
    tiny_model(family).save_pretrained(saved)
    tiny_tokenizer(family).save_pretrained(saved)
    materialise_transformers(str(saved), None, "float32", opened)
    return load_subject(opened, f"tiny-{family}", "cpu")


def tiny_documents(texts: list[str] | None = None) -> pl.DataFrame:
    """A corpus shard of some texts, by default SENTENCES."""
    documents = [Document(text, "en", "code" if text.startswith("def") else "text") for text in texts or SENTENCES]
    return documents_table("tiny", "tiny-00000", documents)
