"""What is made again when something changed, by Dagster's event log: what depends on it, and nothing else."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_pipeline import SITE, Edit, made_since, run, write_config

from orchestration.partitions import PARTITIONED_BY, Keys
from orchestration.sources import SOURCES
from sae.catalog import open_catalog
from sae.config import load_workspace
from sae.labels.ledger import Ledger
from sae.labels.reviews import review_label

CATALOG = {"catalog_candidate", "catalog"}
SITE_TABLES = {f"cross_neighbors[{SITE}]", f"feature_matches[{SITE}]"}
AFTER_A_DICTIONARY = (
    "features",
    "examples",
    "labels",
    "label_scores",
    "neighbors",
    "feature_map",
    "logit_weights",
    "attributions",
    "steering",
    "evaluation",
)


def of(recipe: str, *assets: str) -> set[str]:
    return {f"{asset}[{SITE}.{recipe}]" for asset in assets}


def both(*assets: str) -> set[str]:
    return of("large", *assets) | of("small", *assets)


class Case(NamedTuple):
    """An edit of the config, a change in the folder, and what must be made again."""

    edit: Edit
    change: Callable[[Path], object]
    made: set[str]


def untouched(_: object) -> None:
    pass


def remove(pattern: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found, pattern
        found[0].unlink()

    return change


def rewrite_a_label(folder: Path) -> None:
    with Ledger(folder / "state" / "ledger.sqlite") as ledger:
        label_id = ledger.labels_named("", limit=1)["label_id"][0]
        review_label(ledger, label_id, "rewrite", "ada", datetime.now(UTC), proposed="what ada says")


CASES = {
    "nothing changed": Case(untouched, untouched, set()),
    "the config is written again": Case(
        untouched,
        lambda folder: (folder / "atlas.yaml").write_text((folder / "atlas.yaml").read_text() + "# no\n"),
        set(),
    ),
    "the schedule, on which no artifact depends": Case(
        lambda config: config.update(schedule={"refresh": "0 4 * * *"}), untouched, set()
    ),
    "one value of a recipe": Case(
        lambda config: config["dictionaries"]["small"].update(k=3),
        untouched,
        of("small", "dictionary_candidate", "dictionary", *AFTER_A_DICTIONARY)
        | SITE_TABLES
        | {"attribution_edges"}
        | CATALOG,
    ),
    "a prompt": Case(
        lambda config: config["prompts"][0].update(target="Boston"),
        untouched,
        both("attributions", "steering") | {"attribution_edges"} | CATALOG,
    ),
    "the labeler's seed": Case(
        lambda config: config.update(labeler={"seed": 1}),
        untouched,
        both("labels", "label_scores", "feature_map") | CATALOG,
    ),
    "the scorers": Case(lambda config: config.update(scorers=["truth"]), untouched, both("label_scores") | CATALOG),
    "thresholds that all pass": Case(
        lambda config: config["checks"].update(fvu=0.99), untouched, both("dictionary") | CATALOG
    ),
    "the threshold under which labels are marked": Case(
        lambda config: config["checks"].update(label_score=0.9), untouched, both("dictionary") | CATALOG
    ),
    "a review": Case(untouched, rewrite_a_label, CATALOG),
    "a table's file is gone": Case(untouched, remove("store/tables/neighbors/*.parquet"), {"neighbors"}),
    "the published catalog is gone": Case(untouched, remove("store/catalog/catalog-*.duckdb"), CATALOG),
    "a file of the search index is gone": Case(untouched, remove("store/catalog/search-*/meta.json"), CATALOG),
    "the pointer to the catalog is gone": Case(untouched, remove("store/catalog/CURRENT"), {"catalog"}),
    "the event log is lost": Case(untouched, lambda folder: shutil.rmtree(folder / "state" / "dagster"), set()),
}


def test_the_first_run_made_every_cell_once(first_run):
    made, _ = made_since(first_run.config, 0)

    workspace = load_workspace(first_run.config)
    keys = Keys(workspace.config, ["world-00000", "world-00001"])
    cells = [str(cell) for asset in PARTITIONED_BY if asset not in SOURCES for cell in keys.cells(asset)]
    assert made == sorted(cells)


@pytest.mark.parametrize("name", CASES)
def test_only_what_depends_on_a_change_is_made_again(name, place):
    case = CASES[name]
    _, cursor = made_since(place.config, 0)
    write_config(place.folder, case.edit)
    case.change(place.folder)
    lost_log = not (place.folder / "state" / "dagster").exists()

    outcome = run(place.config)

    made, _ = made_since(place.config, 0 if lost_log else cursor)
    assert outcome.failed == {}
    if name == "a table's file is gone":
        # Which of the two dictionaries' tables it was follows from their ids.
        assert len(made) == 1
        assert made[0].startswith("neighbors[")
    else:
        assert set(made) == case.made
    assert len(made) == len(set(made)), "nothing is made twice"
    assert made == sorted(str(cell) for cell in outcome.made)
    assert run(place.config).made == []


def test_a_new_label_seed_trains_nothing_and_keeps_the_old_labels(place):
    before = place.ref("labels", f"{SITE}.small")
    dictionary = place.ref("dictionary", f"{SITE}.small").data_version
    write_config(place.folder, lambda config: config.update(labeler={"seed": 1}))

    run(place.config)

    assert place.ref("dictionary", f"{SITE}.small").data_version == dictionary
    assert place.ref("labels", f"{SITE}.small").data_version != before.data_version
    with open_catalog(place.store) as catalog:
        seeds = catalog.sql("select seed, count(distinct label_id) n from labels group by all order by seed")
        current = catalog.sql("select distinct seed from current_labels")["seed"].to_list()
    assert seeds["seed"].to_list() == [0, 1]
    assert seeds["n"].n_unique() == 1
    assert current == [1]


def test_a_persons_label_is_published_and_nothing_is_labelled_again(place, command):
    with open_catalog(place.store) as catalog:
        label_id, feature_id = catalog.sql("select label_id, feature_id from current_labels limit 1").row(0)
    said = command("review", label_id[:10], "--rewrite", "what ada says", "--reviewer", "ada", "--note", "I looked")

    outcome = run(place.config)

    assert said.code == 0
    assert f"current label of {feature_id}: what ada says" in said.out
    assert [cell.asset for cell in outcome.made] == ["catalog_candidate", "catalog"]
    with open_catalog(place.store) as catalog:
        current = catalog.sql(
            "select label, labeler, parent_label_id from current_labels where feature_id = ?", [feature_id]
        )
        reviewed = catalog.sql("select verdict, note from label_reviews").rows()
    assert current.rows() == [("what ada says", "human", label_id)]
    assert reviewed == [("rewrite", "I looked")]


def test_a_lost_event_log_still_publishes_the_next_change(place):
    shutil.rmtree(place.folder / "state" / "dagster")
    write_config(place.folder, lambda config: config["prompts"][0].update(target="Boston"))

    outcome = run(place.config)

    assert outcome.failed == {}
    assert {cell.asset for cell in outcome.made} == {"attributions", "steering", "attribution_edges", *CATALOG}


def test_another_schema_publishes_another_catalog_of_the_same_rows(place, monkeypatch):
    before = place.ref("catalog").facts["version"]
    for module in ("assets.catalog", "sae.catalog.publish", "sae.catalog.query"):
        monkeypatch.setattr(f"{module}.SCHEMA_VERSION", 99)

    outcome = run(place.config)

    assert [str(cell) for cell in outcome.made] == ["catalog_candidate", "catalog"]
    assert place.ref("catalog").facts["version"] != before
