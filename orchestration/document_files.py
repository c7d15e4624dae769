"""A corpus shard on disk: the table of documents, and each picture as a file beside it, under its content's name."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl

from sae.identity import bytes_id
from sae.storage import Store, StoredFile
from sae.table_files import read_table

_AT_ONCE = 8
"""Pictures written at once: each waits for the disk, or for a store at the other end of a network."""


def write_documents(store: Store, folder: str, stem: str, documents: pl.DataFrame) -> StoredFile:
    """Write `<folder>/<stem>.parquet`, its pictures as `<folder>/images/<hash>.png`; `image` becomes `image_path`."""
    paths = [None if image is None else f"{folder}/images/{bytes_id(image)}.png" for image in documents["image"]]
    pictures = {path: image for path, image in zip(paths, documents["image"], strict=True) if path is not None}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda path: _write_picture(store, path, pictures[path]), pictures):
            pass
    frame = documents.drop("image").with_columns(pl.Series("image_path", paths, dtype=pl.String))
    with store.writing(f"{folder}/{stem}.parquet") as temporary:
        frame.write_parquet(temporary, compression="zstd")
    return store.describe(f"{folder}/{stem}.parquet")


def _write_picture(store: Store, path: str, image: bytes) -> None:
    if not store.exists(path):
        with store.writing(path) as temporary:
            temporary.write_bytes(image)


def read_documents(store: Store, file: StoredFile) -> pl.DataFrame:
    """The documents of a shard, with `image_path` and the pictures' bytes as `image`."""
    frame = read_table(store.verify(file))
    images = [None if path is None else store.read_bytes(path) for path in frame["image_path"]]
    return frame.with_columns(pl.Series("image", images, dtype=pl.Binary))


def image_paths(store: Store, file: StoredFile) -> dict[str, str]:
    """The stored picture of those documents of a shard that hold one, by document id; no more than both is read."""
    frame = read_table(store.verify(file), ["document_id", "image_path"])
    return dict(frame.drop_nulls("image_path").iter_rows())


def document_rows(store: Store, file: StoredFile, tokens: StoredFile | None) -> pl.DataFrame:
    """The documents of a shard without their pictures' bytes; `n_tokens` is counted in a table of tokens, or null."""
    frame = read_table(store.verify(file))
    if tokens is None:
        return frame.with_columns(pl.lit(None, pl.Int32).alias("n_tokens"))
    counted = read_table(store.verify(tokens), columns=["document_id"]).group_by("document_id").len("n_tokens")
    return frame.join(counted, on="document_id", how="left").with_columns(pl.col("n_tokens").cast(pl.Int32))
