"""Names by content: the hash of what a thing is, so that two equal things have one name.

An id is the first 16 hexadecimal digits of a SHA-256 (64 bits); files in manifests keep all 64 digits.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl
    import torch

ID_DIGITS = 16
_BLOCK = 1 << 20


def content_id(value: Any) -> str:
    """Id of a JSON-like value: equal values have equal ids whatever the order of their keys."""
    return _short(canonical_json(value).encode())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces. Raises ValueError on NaN, which equals nothing, not even itself."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def tensors_id(tensors: "Mapping[str, torch.Tensor]") -> str:
    """Id of named tensors: names, dtypes, shapes and the exact bits, in the order of the names."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()[:ID_DIGITS]


def frame_id(frame: "pl.DataFrame", exclude: Iterable[str] = ()) -> str:
    """Id of a table's logical rows in their order, without the columns in `exclude` (run ids, times, cost)."""
    import polars.selectors as cs

    left_out = set(exclude)
    kept = frame.select([name for name in frame.columns if name not in left_out])
    kept = kept.with_columns(cs.binary().bin.encode("hex"))  # JSON has no bytes.
    sha = hashlib.sha256(canonical_json([[n, str(t)] for n, t in kept.schema.items()]).encode())
    for block in kept.iter_slices(65_536):
        sha.update(block.write_ndjson().encode())
    return sha.hexdigest()[:ID_DIGITS]


def bytes_id(data: bytes) -> str:
    """Id of raw bytes."""
    return _short(data)


def file_sha256(path: Path) -> str:
    """The whole SHA-256 of a file, read in blocks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()


def file_sha256_once(path: Path) -> str:
    """The whole SHA-256 of a file, read again only when its inode, size or times are others: for files asked often."""
    stat = path.stat()
    return _file_sha256_at(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=65_536)
def _file_sha256_at(path: Path, *_standing: int) -> str:
    return file_sha256(path)


def feature_id(dictionary_id: str, index: int) -> str:
    """`<dictionary_id>:<index>`: a latent's name carries the dictionary that gives it its meaning."""
    return f"{dictionary_id}:{index}"


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:ID_DIGITS]
