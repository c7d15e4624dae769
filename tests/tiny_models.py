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
"""The families that every test of models reads."""
MORE_FAMILIES = (
    "gemma2",
    "gemma3",
    "qwen2",
    "qwen3",
    "mistral",
    "mixtral",
    "phi",
    "phi3",
    "opt",
    "bloom",
    "falcon",
    "roberta",
    "distilbert",
    "t5",
)
ENCODERS = ("bert", "roberta", "distilbert", "t5")
CONTEXT = 32
N_LAYERS = 3
D_MODEL = 16
VOCABULARY = 336
"""More than a tokenizer has: transformers adds control tokens of some families when it opens one."""


def tiny_tokenizer(family: str) -> Any:
    """Byte-level BPE with a beginning mark, or words between [CLS] and [SEP] for BERT and its like."""
    if family in ENCODERS:
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


_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": D_MODEL,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_hidden_layers": N_LAYERS,
    "max_position_embeddings": CONTEXT,
}
_NO_CONTROL: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
_LLAMA_LIKE: dict[str, Any] = _COMMON | _NO_CONTROL | {"num_key_value_heads": 1}
_GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": D_MODEL,
    "n_layer": N_LAYERS,
    "n_head": 2,
    "n_positions": CONTEXT,
}
_BLOOM: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": D_MODEL, "n_layer": N_LAYERS, "n_head": 2}
_OPT: dict[str, Any] = {name: size for name, size in _COMMON.items() if name != "intermediate_size"}
_ROBERTA: dict[str, Any] = _COMMON | {"max_position_embeddings": CONTEXT + 2}
_DISTILBERT: dict[str, Any] = {"dim": D_MODEL, "n_layers": N_LAYERS, "n_heads": 2, "hidden_dim": 32}
_T5: dict[str, Any] = {"d_model": D_MODEL, "d_kv": 8, "d_ff": 32, "num_layers": N_LAYERS, "num_heads": 2}
_CONFIGS: dict[str, tuple[Any, Any]] = {
    "gpt2": (transformers.GPT2LMHeadModel, transformers.GPT2Config(**_GPT2, **_NO_CONTROL)),
    "gpt_neox": (transformers.GPTNeoXForCausalLM, transformers.GPTNeoXConfig(**_COMMON)),
    "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig(**_LLAMA_LIKE)),
    "gemma2": (transformers.Gemma2ForCausalLM, transformers.Gemma2Config(**_LLAMA_LIKE, head_dim=8)),
    "gemma3": (transformers.Gemma3ForCausalLM, transformers.Gemma3TextConfig(**_LLAMA_LIKE, head_dim=8)),
    "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config(**_LLAMA_LIKE)),
    "qwen3": (transformers.Qwen3ForCausalLM, transformers.Qwen3Config(**_LLAMA_LIKE, head_dim=8)),
    "mistral": (transformers.MistralForCausalLM, transformers.MistralConfig(**_LLAMA_LIKE)),
    "mixtral": (transformers.MixtralForCausalLM, transformers.MixtralConfig(**_LLAMA_LIKE, num_local_experts=4)),
    "phi": (transformers.PhiForCausalLM, transformers.PhiConfig(**_COMMON, **_NO_CONTROL)),
    "phi3": (transformers.Phi3ForCausalLM, transformers.Phi3Config(**_COMMON, **_NO_CONTROL)),
    "opt": (transformers.OPTForCausalLM, transformers.OPTConfig(**_OPT, ffn_dim=32, word_embed_proj_dim=D_MODEL)),
    "bloom": (transformers.BloomForCausalLM, transformers.BloomConfig(**_BLOOM)),
    "falcon": (transformers.FalconForCausalLM, transformers.FalconConfig(**_OPT)),
    "bert": (transformers.BertForMaskedLM, transformers.BertConfig(**_COMMON)),
    # Two positions more: RoBERTa counts them from the padding id on.
    "roberta": (
        transformers.RobertaForMaskedLM,
        transformers.RobertaConfig(**_ROBERTA),
    ),
    "distilbert": (
        transformers.DistilBertForMaskedLM,
        transformers.DistilBertConfig(vocab_size=VOCABULARY, max_position_embeddings=CONTEXT, **_DISTILBERT),
    ),
    "t5": (transformers.T5EncoderModel, transformers.T5Config(vocab_size=VOCABULARY, **_T5)),
}


def tiny_model(family: str) -> Any:
    """A model of three blocks and 16 dimensions, the same each time."""
    model_class, config = _CONFIGS[family]
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
