"""From a label's examples back to the documents that they stand in, token by token and activation by activation."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from orchestration.provenance.link import Check, Link, attempted, file_holds, same, unchecked
from orchestration.provenance.records import LedgerReader
from sae.catalog import Catalog
from sae.errors import AtlasError
from sae.identity import content_id
from sae.storage import Store, StoredFile
from sae.table_files import read_table

_TOLERANCE = 1e-3
"""Of the activation: a matrix product of another shape rounds otherwise."""


def evidence_links(
    store: Store, catalog: Catalog, ledger: LedgerReader | None, label_id: str, provenance: Mapping[str, Any]
) -> Iterator[Link]:
    """The examples of a label, and their documents.

    :param provenance: of the dictionary
    """
    uses = catalog.sql("select example_id, use from label_examples where label_id = ? order by 1", [label_id])
    dictionary_id = catalog.sql("select dictionary_id from labels where label_id = ?", [label_id]).item()
    files = catalog.sql(
        "select path, size, sha256 from parquet_files where table_name = 'examples' and starts_with(path, ?)",
        [f"tables/examples/{dictionary_id}-"],
    )
    checks = [file_holds(store, StoredFile(**row)) for row in files.to_dicts()]
    if ledger:
        checks.append(same("which were shown, by the ledger", uses.rows(), ledger.uses(label_id)))
    if uses.is_empty():
        yield Link("examples", f"0 of {label_id}", {}, (unchecked("examples", "it was written from none"),))
        return
    if any(check.outcome == "MISMATCH" for check in checks):
        yield Link("examples", f"{uses.height} of {label_id}", _uses(uses), tuple(checks))
        return
    rows = catalog.sql(
        "select e.*, d.shard, d.corpus, d.text from label_examples join examples e using (example_id) "
        "left join documents d using (document_id) where label_id = ? order by example_id",
        [label_id],
    )
    named = [content_id([row["feature_id"], row["document_id"], *_window(row)]) for row in rows.to_dicts()]
    checks.append(same("ids, from feature, document and window", named, rows["example_id"].to_list()))
    gone = uses.height - rows.height
    if gone:
        checks.append(unchecked(f"{gone} examples", "they were gathered anew since"))
    records = {entry["record"]["shard"]: entry["record"] for entry in provenance["activation_set"]["shards"]}
    for (shard,), part in rows.drop_nulls("shard").partition_by("shard", as_dict=True, maintain_order=True).items():
        checks += _at_the_shard(store, part, records.get(shard), f"dictionaries/{dictionary_id}")
    yield Link("examples", f"{uses.height} of {label_id}", _uses(uses), tuple(checks))
    yield _documents(store, rows, provenance["documents"])


def _uses(uses: pl.DataFrame) -> dict[str, Any]:
    return {use: uses.filter(pl.col("use") == use)["example_id"].to_list() for use in ("shown", "held_out")}


def _window(row: Mapping[str, Any]) -> tuple[int, int, int]:
    """Position, first and last token of an example's window."""
    from sae.features.example_sampler import ExampleSizes

    first = max(row["position"] - ExampleSizes().radius, 0)
    return row["position"], first, first + len(row["tokens"]) - 1


def _at_the_shard(
    store: Store, rows: pl.DataFrame, record: Mapping[str, Any] | None, dictionary: str
) -> Iterator[Check]:
    """Whether the tokens and activations of examples are those of the shard that they are from."""
    shard = rows["shard"][0]
    if record is None:
        yield unchecked(f"tokens at {shard}", "the dictionary does not pin this shard")
        return
    yield attempted(f"tokens at {shard}", lambda: _tokens(store, rows, record, shard))
    what = f"activations at {shard}"
    if record["tensors"] is None:
        yield unchecked(what, "the site is streamed: no activation is stored")
        return
    yield attempted(what, lambda: _activations(store, rows, record, dictionary, what))


def _tokens(store: Store, rows: pl.DataFrame, record: Mapping[str, Any], shard: str) -> Check:
    from sae.features.examples import spelled

    path = store.verify(StoredFile(**record["tokens"]))
    of_documents = pl.col("document_id").is_in(rows["document_id"].unique().to_list())
    tokens = read_table(path).filter(of_documents)
    texts = tokens.with_columns(spelled(tokens)).group_by("document_id", maintain_order=True).agg("token")
    spelling = dict(texts.select("document_id", "token").iter_rows())
    wanted = []
    for row in rows.to_dicts():
        _, first, last = _window(row)
        wanted.append(spelling.get(row["document_id"], [])[first : last + 1])
    return same(f"tokens at {shard}", rows["tokens"].to_list(), wanted)


def _activations(store: Store, rows: pl.DataFrame, record: Mapping[str, Any], dictionary: str, what: str) -> Check:
    """The activations at the examples' positions, computed again from the stored vectors."""
    import torch
    from safetensors import SafetensorError, safe_open

    from sae.activations.shard import KEY
    from sae.dictionaries.layout import CONFIG, load_dictionary

    tokens = read_table(store.verify(StoredFile(**record["tokens"])), columns=["document_id", "position"])
    at = rows.select("document_id", "position").join(
        tokens.with_row_index("row"), on=["document_id", "position"], how="left", maintain_order="left"
    )["row"]
    if at.null_count():
        return Check(what, "MISMATCH", f"{at.null_count()} positions are not in the shard")
    opened = load_dictionary(store.local(f"{dictionary}/{CONFIG}").parent)
    try:
        with safe_open(str(store.verify(StoredFile(**record["tensors"]))), framework="pt") as file:
            vectors = torch.cat([file.get_slice(KEY)[row : row + 1] for row in at.to_list()]).float()
    except SafetensorError as error:
        raise AtlasError(f"{record['tensors']['path']} cannot be read: {error}.") from error
    found = opened.encode(vectors)[torch.arange(len(at)), torch.from_numpy(rows["index"].to_numpy().copy()).long()]
    kept = torch.from_numpy(rows["activation"].to_numpy().copy())
    differ = (found - kept).abs() > _TOLERANCE * kept.abs().clamp(min=1.0)
    if differ.any():
        worst = int((found - kept).abs().argmax())
        return Check(what, "MISMATCH", f"{float(kept[worst]):.4g} is recorded, {float(found[worst]):.4g} comes out")
    return Check(what, "verified", f"{len(at)} computed again from the stored vectors")


def _documents(store: Store, rows: pl.DataFrame, files: Mapping[str, Any]) -> Link:
    ids = rows["document_id"].unique(maintain_order=True).to_list()
    checks = []
    for (shard,), part in rows.drop_nulls("shard").partition_by("shard", as_dict=True, maintain_order=True).items():
        what = f"ids at {shard}, from text and picture"
        if shard not in files:
            checks.append(unchecked(what, "the dictionary does not pin this shard"))
            continue
        file = StoredFile(**files[shard])
        checks.append(attempted(what, lambda part=part, file=file, what=what: _texts(store, part, file, what)))
    if lost := rows["shard"].null_count():
        checks.append(Check(f"{lost} documents", "MISMATCH", "the catalog does not hold them"))
    return Link(
        "documents", f"{len(ids)}", {"ids": ids, "shards": sorted(set(rows["shard"].drop_nulls()))}, tuple(checks)
    )


def _texts(store: Store, rows: pl.DataFrame, file: StoredFile, what: str) -> Check:
    from sae.corpora.documents import document_id

    stored = read_table(store.verify(file)).filter(pl.col("document_id").is_in(rows["document_id"].to_list()))
    for row in stored.to_dicts():
        image = None if row["image_path"] is None else store.read_bytes(row["image_path"])
        if (found := document_id(row["corpus"], row["text"], image)) != row["document_id"]:
            return same(what, found, row["document_id"])
    shown = dict(rows.select("document_id", "text").iter_rows())
    return same(what, shown, {row["document_id"]: row["text"] for row in stored.to_dicts()})
