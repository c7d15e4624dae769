"""Where the blocks of a model lie, and in each of them what attention and MLP add: found by structure."""

import sys
from typing import Any

from torch import nn

ATTENTION, MLP = "attn", "mlp"

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
"""What the configs of the families call the most positions that they read."""
_TABLE = "embeddings.position_embeddings"
"""Where BERT and its like keep their learnt positions."""


def named_places(module: nn.Module) -> dict[str, str]:
    """Hookpoint to module path: `layers.N` of each block, then `layers.N.attn` and `layers.N.mlp` where it has them."""
    blocks = block_paths(module)
    places = dict(blocks)
    for name, path in blocks.items():
        block = module.get_submodule(path)
        places |= {f"{name}.{part}": f"{path}.{inner}" for part, inner in block_parts(block, width(module)).items()}
    return places


def block_paths(module: nn.Module) -> dict[str, str]:
    """`layers.N` to the module path of block N.

    The stack of blocks is the outermost list of as many modules as the config has layers, else the longest one, in the
    text model where there is one of its own (vision-language models); where two are equally long it is the last one.
    A model that names its applications itself, in a ModuleDict `layers`, keeps those names.
    """
    own = getattr(module, "layers", None)
    if isinstance(own, nn.ModuleDict):
        return {f"layers.{name}": f"layers.{name}" for name in own}
    lists = {path: len(child) for path, child in module.named_modules() if isinstance(child, nn.ModuleList)}
    outer = {p: n for p, n in lists.items() if n and not any(p.startswith(f"{other}.") for other in lists)}
    text = text_model_path(module)
    outer = {p: n for p, n in outer.items() if p.startswith(text)} or outer
    wanted = layer_count(module)
    stacks = [path for path, n in outer.items() if n == (wanted or max(outer.values()))]
    return {f"layers.{n}": f"{stacks[-1]}.{n}" for n in range(outer[stacks[-1]])} if stacks else {}


def block_parts(block: nn.Module, d_model: int | None) -> dict[str, str]:
    """`attn` and `mlp` to paths in the block of the modules that return what each adds to the residual stream.

    That is the last linear map to `d_model` inside the first attention module, and outside of all of them: some
    families add the residual, or normalise, inside the module that carries the part's name (BLOOM, BERT, T5). A mixture
    of experts has no last map; its part is the block's own child that holds the experts. Where a block normalises what
    a part adds (Gemma 2 and 3), this is the part's output before that.
    """
    attention = [path for path, child in block.named_modules() if path and "Attention" in type(child).__name__]
    attention = [path for path in attention if not any(path.startswith(f"{other}.") for other in attention)]
    writers = [path for path, child in block.named_modules() if path and _writes(child, d_model)]
    parts = {}
    if attention and (inside := [path for path in writers if path.startswith(f"{attention[0]}.")]):
        parts[ATTENTION] = inside[-1]
    others = [path for path in writers if not any(path.startswith(f"{owner}.") for owner in attention)]
    mixtures = [
        name
        for name, child in block.named_children()
        if _holds_experts(child) and not any(path == name or path.startswith(f"{name}.") for path in attention)
    ]
    if mixtures:
        parts[MLP] = mixtures[-1]
    elif others:
        parts[MLP] = others[-1]
    return parts


def layer_count(module: nn.Module) -> int | None:
    """Number of blocks that a transformers config states for the text model; None without one."""
    config: Any = getattr(module, "config", None)
    return config.get_text_config().num_hidden_layers if hasattr(config, "get_text_config") else None


def context_size(module: nn.Module) -> int:
    """Most positions that the text model reads; `sys.maxsize` where its config states no limit (relative positions)."""
    config: Any = getattr(module, "config", None)
    text = config.get_text_config()
    stated = next((getattr(text, name) for name in _CONTEXT if getattr(text, name, None)), sys.maxsize)
    # RoBERTa counts positions from its padding id on, and its table is that much longer than what it reads.
    tables: list[Any] = [child for path, child in module.named_modules() if path.endswith(_TABLE)]
    before: list[int] = [table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None]
    return stated - max(before, default=0)


def width(module: nn.Module) -> int | None:
    """Width of the residual stream that a transformers config states for the text model; None without one."""
    config: Any = getattr(module, "config", None)
    return config.get_text_config().hidden_size if hasattr(config, "get_text_config") else None


def text_model_path(module: nn.Module) -> str:
    """Path, with a dot at its end, of the text model inside a vision-language model; empty for others."""
    config: Any = getattr(module, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else None
    if text is None or text is config:
        return ""
    found = [path for path, child in module.named_modules() if path and getattr(child, "config", None) is text]
    return f"{found[0]}." if found else ""


def _writes(module: nn.Module, d_model: int | None) -> bool:
    weight = getattr(module, "weight", None)
    if weight is None or weight.ndim != 2 or isinstance(module, nn.Embedding):
        return False
    # Linear keeps its outputs in `out_features`, transformers' Conv1D (GPT-2) in `nf`.
    return getattr(module, "out_features", getattr(module, "nf", None)) == d_model


def _holds_experts(child: nn.Module) -> bool:
    stacked = any(parameter.ndim == 3 for name, parameter in child.named_parameters() if "weight" not in name)
    listed = any(isinstance(inner, nn.ModuleList) and len(inner) > 1 for inner in child.modules())
    return stacked or listed
