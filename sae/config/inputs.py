"""Sections that say what is read: models, corpora and sites."""

from typing import Literal

from pydantic import Field, model_validator

from sae.config.section import Name, Section


class ModelConfig(Section):
    """A subject model."""

    source: str
    """`world` or `one_layer` (trained here), a folder or a `.gguf` file, either of them in a package
    (`package://<package>/<path>`), or a hub id."""
    revision: str | None = None
    """Commit of a hub id."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention kernel; `auto` is transformers' choice. `flash_attention_2` needs its package and a GPU."""
    steps: int = Field(default=900, ge=1)
    """Training steps of `source: world`."""
    tokens: int = Field(default=1_000_000, ge=1)
    """Training tokens of `source: one_layer`, which reads the running Python's documentation and source code."""
    seed: int | None = None
    """Seed of the training of `source: one_layer`; the config's seed by default. Models that differ in nothing else
    read the same tokens, so that their features can be compared."""


class CorpusConfig(Section):
    """A source of documents, cut into shards."""

    source: Literal["world", "python_docs", "files", "huggingface"]
    """The adapter in `sae/corpora/` that reads it."""
    shards: int = Field(default=4, ge=2)
    """Number of shards (`files` has at least one a file). The last eighth of them, at least one, is held out."""
    documents: int | None = Field(default=None, ge=1)
    """Upper bound on documents; for `world` the number drawn."""
    tokens: int | None = Field(default=None, ge=1)
    """Upper bound on tokens, counted in words and punctuation marks."""
    paths: tuple[str, ...] = ()
    """Glob patterns for `files` (txt, md, py, jsonl, parquet, png, jpg)."""
    text: str = "text"
    """Column that holds the text (jsonl, parquet, huggingface)."""
    language: str | None = None
    """Column that holds the language, where there is one."""
    image: str | None = None
    """Column that holds a picture's path or bytes, where there is one."""
    dataset: str | None = None
    """Hub id of the data set (`huggingface`)."""
    config: str | None = None
    """Configuration of the data set (`huggingface`)."""
    split: str = "train"
    """Split of the data set (`huggingface`)."""

    @model_validator(mode="after")
    def _named(self) -> "CorpusConfig":
        if self.source == "files" and not self.paths:
            raise ValueError("`source: files` needs `paths`, for example ['data/*.jsonl']")
        if self.source == "huggingface" and not self.dataset:
            raise ValueError("`source: huggingface` needs `dataset`, the hub id of a data set")
        return self


class SiteConfig(Section):
    """A place in a model whose output is read: model and hookpoint."""

    model: Name
    hookpoint: Name
    """For example `layers.12`: the output of block 12."""
    corpora: tuple[Name, ...] = Field(min_length=1)
    """The corpora read at this site."""
    mode: Literal["cached", "streamed"] = "cached"
    """`cached` stores the activations; `streamed` stores tokens and normalisation, and asks the model again each time:
    slower, and next to nothing on disk."""
    batch_tokens: int = Field(default=4096, ge=16)
    """Positions of one forward pass."""
    store_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the activations, stored or streamed."""
    normalisation: Literal["sqrt_d", "mean_square"] = "sqrt_d"
    """One scalar a site: mean L2 norm sqrt(d) (April 2024 update), or mean squared norm d (Scaling Monosemanticity)."""
    massive_norm_ratio: float = Field(default=10.0, gt=1)
    """Positions whose norm exceeds this multiple of the shard's median are massive: counted, not trained on."""

    @property
    def name(self) -> str:
        """`<model>.<hookpoint>`, the site's partition key."""
        return f"{self.model}.{self.hookpoint}"
