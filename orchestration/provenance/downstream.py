"""What came from a document, a shard, a model, a run or a dictionary, and what would be made again without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sae.catalog import Catalog
from sae.catalog.lineage import made_from_cells

KINDS = ("document", "shard", "model", "run", "dictionary")
"""What can be asked about."""

_LABELS_BY_USE = """
    select l.label_id, l.feature_id, l.label, l.labeler,
        l.label_id in (select label_id from current_labels) as in_force,
        count(*) filter (u.use = 'shown') as shown, count(*) filter (u.use = 'held_out') as held_out
    from labels l join label_examples u using (label_id) join examples e using (example_id)
        join documents d using (document_id)
    where {} group by l.label_id, l.feature_id, l.label, l.labeler, l.dictionary_id, l."index"
    having {} order by l.dictionary_id, l."index", l.label_id
"""
_FEATURES = """
    select e.feature_id, count(*) as examples, max(e.activation) as max_activation, any_value(c.label) as label
    from examples e join documents d using (document_id) left join current_labels c using (feature_id)
    where {} group by e.feature_id, e.dictionary_id, e."index" order by e.dictionary_id, e."index"
"""
_DICTIONARIES = """
    select distinct s.dictionary_id, x.site, x.recipe, s.split, x.is_current
    from dictionary_shards s join dictionaries x using (dictionary_id) join documents d using (shard)
    where {} order by all
"""
_LABELS = """
    select label_id, feature_id, label, labeler, label_id in (select label_id from current_labels) as in_force
    from labels l where {} order by dictionary_id, "index", label_id
"""


@dataclass(frozen=True)
class Came:
    """Things of one sort that came from what was asked about."""

    what: str
    rows: list[dict[str, Any]]


def what_came_of(catalog: Catalog, kind: str, name: str) -> tuple[dict[str, Any], list[Came]]:
    """The facts of what is called so, and all that came from it.

    :param kind: one of `KINDS`
    :param name: the whole name, as `identify` gives it
    """
    return _FOLLOW[kind](catalog, name)


def _document(catalog: Catalog, name: str) -> tuple[dict[str, Any], list[Came]]:
    facts = catalog.sql("select * from documents where document_id = ?", [name]).to_dicts()[0]
    found = _of_documents(catalog, "d.document_id = ?", name)
    return facts, [*found, _made_again(catalog, "corpus", [facts["shard"]], "if the document were removed")]


def _shard(catalog: Catalog, name: str) -> tuple[dict[str, Any], list[Came]]:
    facts = catalog.sql(
        "select * from shards where shard = ? order by retired_at nulls first, created_at desc", [name]
    ).to_dicts()[0]
    found = _of_documents(catalog, "d.shard = ?", name)
    return facts, [*found, _made_again(catalog, "corpus", [name], "if the shard changed")]


def _of_documents(catalog: Catalog, which: str, name: str) -> list[Came]:
    one = [name]
    return [
        _rows(catalog, "dictionaries read its shard", _DICTIONARIES.format(which), one),
        _rows(catalog, "features have an example in it", _FEATURES.format(which), one),
        _rows(catalog, "labels were written from it", _LABELS_BY_USE.format(which, "shown > 0"), one),
        _rows(catalog, "labels were scored on it", _LABELS_BY_USE.format(which, "shown = 0"), one),
    ]


def _model(catalog: Catalog, name: str) -> tuple[dict[str, Any], list[Came]]:
    """A model is one that is read, or one that writes labels."""
    read = catalog.sql("select * from models where model_id = ?1 or name = ?1", [name]).to_dicts()
    if not read:
        rows = _rows(catalog, "labels were written by it", _LABELS.format("model = ?"), [name])
        again = _made_again(catalog, "labeler_config", [], "if the labeler changed")
        return {"model": name, "use": "labeler"}, [rows, again]
    model_id, names = read[0]["model_id"], [row["name"] for row in read]
    of_model = "(select dictionary_id from dictionaries where model_id = ?)"
    return read[0], [
        _rows(
            catalog,
            "dictionaries read it",
            "select dictionary_id, site, recipe, is_current from dictionaries where model_id = ? order by all",
            [model_id],
        ),
        _rows(
            catalog,
            "features are of these",
            f"select feature_id, density from features where dictionary_id in {of_model} order by all",
            [model_id],
        ),
        _rows(catalog, "labels name these", _LABELS.format(f"dictionary_id in {of_model}"), [model_id]),
        _made_again(catalog, "subject_model", names, "if the model changed"),
    ]


def _run(catalog: Catalog, name: str) -> tuple[dict[str, Any], list[Came]]:
    facts = catalog.sql("select * from runs where run_id = ?", [name]).to_dicts()
    made = catalog.sql(
        "select asset, partition, data_version, code_version, finished_at from lineage where run_id = ? order by all",
        [name],
    ).to_dicts()
    closure = catalog.sql(
        "select distinct c.asset, c.partition from lineage_closure c join lineage l on l.asset = c.from_asset "
        "and l.partition is not distinct from c.from_partition where l.run_id = ? order by all",
        [name],
    ).to_dicts()
    own = {(row["asset"], row["partition"]) for row in made}
    return facts[0] if facts else {"run_id": name}, [
        Came("assets hold what it made", made),
        _rows(
            catalog,
            "dictionaries were trained in it",
            "select dictionary_id, site, recipe, is_current from dictionaries where run_id = ? order by all",
            [name],
        ),
        _rows(catalog, "labels were written in it", _LABELS.format("run_id = ?"), [name]),
        _rows(
            catalog,
            "scores were made in it",
            "select label_id, scorer, score from label_scores where run_id = ? order by all",
            [name],
        ),
        Came("assets were made from these", [row for row in closure if (row["asset"], row["partition"]) not in own]),
    ]


def _dictionary(catalog: Catalog, name: str) -> tuple[dict[str, Any], list[Came]]:
    columns = "dictionary_id, site, recipe, architecture, fvu, is_current, replaced_by, run_id, created_at"
    facts = catalog.sql(f"select {columns} from dictionaries where dictionary_id = ?", [name]).to_dicts()[0]
    pair = f"{facts['site']}.{facts['recipe']}"
    own = [] if not facts["is_current"] else [_made_again(catalog, "dictionary", [pair], "if it were replaced")]
    return facts, [
        _rows(
            catalog,
            "features are its",
            'select feature_id, density from features where dictionary_id = ? order by "index"',
            [name],
        ),
        _rows(catalog, "labels name these", _LABELS.format("dictionary_id = ?"), [name]),
        _rows(
            catalog,
            "features of the current dictionary came after its features",
            "select feature_id, status, successor_id from successors where dictionary_id = ?",
            [name],
        ),
        *own,
    ]


_FOLLOW = {"document": _document, "shard": _shard, "model": _model, "run": _run, "dictionary": _dictionary}


def _rows(catalog: Catalog, what: str, query: str, params: Sequence[Any]) -> Came:
    return Came(what, catalog.sql(query, params).to_dicts())


def _made_again(catalog: Catalog, asset: str, partitions: Sequence[str], when: str) -> Came:
    """The cells that come from some partitions of an asset, those first; without any, of one that has none."""
    cells = made_from_cells(catalog, asset, partitions or [None]).select("asset", "partition").to_dicts()
    own = [{"asset": asset, "partition": partition} for partition in partitions]
    published = [{"asset": name, "partition": None} for name in ("catalog_candidate", "catalog")]
    return Came(f"assets would be made again {when}", [*own, *cells, *published])


def report_json(kind: str, name: str, facts: Mapping[str, Any], found: Sequence[Came]) -> dict[str, Any]:
    """The report as JSON-like values."""
    return {"kind": kind, "id": name, "facts": dict(facts), "came": {came.what: came.rows for came in found}}
