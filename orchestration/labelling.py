"""Asking the configured model for labels of one dictionary: by the asset `labels`, and by `atlas label`."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl

from orchestration.partitions import Cell
from orchestration.progress import LineProgress
from orchestration.refs import read_ref
from sae.config import Workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store
from sae.table_files import read_table

if TYPE_CHECKING:
    from sae.labels.estimate import Estimate
    from sae.labels.llm import Evidence, FeatureQuestion, Progress


def ledger_path(workspace: Workspace) -> Path:
    """The ledger of a workspace."""
    return workspace.state / "ledger.sqlite"


def evidence(workspace: Workspace, tables: Mapping[str, pl.DataFrame]) -> "Evidence":
    """What prompts are made from: the tables `features`, `examples` and `logit_weights` of a dictionary."""
    from sae.labels.llm import Evidence

    store = Store(workspace.store)
    return Evidence(tables["features"], tables["examples"], tables["logit_weights"], store.read_bytes)


def asking_order(
    workspace: Workspace, features: pl.DataFrame, only: Collection[str] | None = None, again: bool = False
) -> tuple[list[str], set[str]]:
    """The features to ask about, first things first, and the ids of labels that shall not stand.

    :param only: these features, whatever they are called; otherwise all live ones whose label is neither a person's nor
        carried
    :param again: whether labels that stand shall not, so that each feature is asked about anew
    """
    from sae.labels.current import current_labels, last_verdicts
    from sae.labels.ledger import Ledger
    from sae.labels.priority import by_priority, stale_features

    config = workspace.config.labeler
    dictionaries = features["dictionary_id"].unique().to_list()
    with Ledger(ledger_path(workspace)) as ledger:
        labels, reviews = ledger.labels(dictionaries), ledger.label_reviews(dictionaries)
        current = current_labels(labels, reviews, ledger.label_renewals(dictionaries))
    rejected = last_verdicts(reviews).filter(pl.col("verdict") == "reject")["label_id"]
    unwanted = set(labels.filter(pl.col("label_id").is_in(rejected.implode()))["feature_id"])
    named = current.filter((pl.col("labeler") == "human") | (pl.col("origin") == "carried"))["feature_id"]
    passed_over = set(rejected)
    if only is not None:
        features = features.filter(pl.col("feature_id").is_in(list(only)))
        if again:
            passed_over |= set(labels.filter(pl.col("feature_id").is_in(list(only)))["label_id"])
    else:
        features = features.filter(~pl.col("feature_id").is_in(named.implode()))
    order = by_priority(
        features, asked_for=unwanted, stale=stale_features(current, config), band=config.priority.density
    )
    return order, passed_over


def ask_model(
    workspace: Workspace,
    basis: "Evidence",
    run_id: str,
    *,
    name: str,
    only: Collection[str] | None = None,
    again: bool = False,
    show_progress: bool = False,
) -> "Progress":
    """Ask about the features of a dictionary, all or some, as far as the budget reaches; the ledger has what comes."""
    from sae.labels.llm import label_with_model

    config, path = workspace.config.labeler, ledger_path(workspace)
    order, passed_over = asking_order(workspace, basis.features, only, again)
    before = _spent(path)
    if config.batch:
        _fetch(basis, order, passed_over, workspace, run_id, name if show_progress else None)
        # All that was paid for lies in the ledger now: what does not is not asked for one by one at the full price.
        config = config.model_copy(update={"budget_usd": 0.0})
    progress = label_with_model(
        basis,
        order,
        config,
        path,
        run_id,
        passed_over=passed_over,
        on_progress=_shown(name, len(order)) if show_progress else lambda progress: None,
    )
    progress.paid_usd = progress.spent_usd - before
    return progress


def _fetch(
    basis: "Evidence",
    order: Sequence[str],
    passed_over: Collection[str],
    workspace: Workspace,
    run_id: str,
    shown_as: str | None,
) -> None:
    """Bring the replies into the ledger through batches."""
    from sae.labels.ledger import Ledger
    from sae.labels.llm import feature_questions
    from sae.labels.llm_batches import fetch_labels

    config, path = workspace.config.labeler, ledger_path(workspace)
    with Ledger(path) as ledger:
        skipped = ledger.label_ids("failed") | set(passed_over)
    fetch_labels(
        lambda: feature_questions(basis, order, config),
        config,
        path,
        run_id,
        skipped=skipped,
        on_wait=LineProgress().stage(f"{shown_as} in batches", "requests") if shown_as else lambda done, total: None,
    )


def _spent(path: Path) -> float:
    from sae.labels.request_ledger import RequestLedger

    ledger = RequestLedger(path, 0.0)
    try:
        return ledger.spent()
    finally:
        ledger.close()


def _shown(name: str, total: int) -> "Callable[[Progress], None]":
    tick = LineProgress().stage(name, "features")

    def show(progress: "Progress") -> None:
        tick(progress.done, total, f"${progress.paid_usd:.4f}, {progress.labelled:,} labelled")

    return show


def estimate_all(workspace: Workspace, only: Collection[str] | None = None) -> "Estimate":
    """What `label_now` would ask and cost. Raises ConfigError on a feature that no current dictionary has."""
    from sae.labels.estimate import estimate
    from sae.labels.llm import feature_questions

    def questions() -> "Iterator[FeatureQuestion]":
        for tables in _current_tables(workspace, only).values():
            basis = evidence(workspace, tables)
            order, _ = asking_order(workspace, basis.features, only)
            yield from feature_questions(basis, order, workspace.config.labeler)

    return estimate(questions(), workspace.config.labeler, ledger_path(workspace))


def label_now(
    workspace: Workspace, only: Collection[str] | None, again: bool, say: Callable[[str], None]
) -> "Progress":
    """Ask about features outside of a run of the pipeline, and publish the catalog with what came.

    Raises AtlasError when another writer holds the lock, ConfigError on a feature that no current dictionary has.
    """
    from orchestration.locking import writing
    from orchestration.runner import open_session, refresh
    from sae.labels.current import ASKED_BY_NAME
    from sae.labels.llm import Progress

    with writing(workspace):
        total = Progress(0)
        for pair, tables in _current_tables(workspace, only).items():
            done = ask_model(
                workspace,
                evidence(workspace, tables),
                f"{ASKED_BY_NAME}{uuid4()}",
                name=f"labels {pair}",
                only=only,
                again=again,
                show_progress=True,
            )
            total.add(done)
        published = {"catalog_candidate", "catalog"}
        outcome = refresh(
            open_session(workspace),
            trigger="atlas label",
            select=lambda cell: cell.asset in published,
            force=True,
            say=say,
        )
    for cell, error in outcome.failed.items():
        raise AtlasError(f"The labels are in the ledger, but {cell} failed: {error}")
    if Cell("catalog", None) not in outcome.made:
        say("The labels are in the ledger; `atlas run` publishes them, since other things are stale too.")
    return total


def _current_tables(workspace: Workspace, only: Collection[str] | None) -> dict[str, dict[str, pl.DataFrame]]:
    """The tables that prompts are made from, of each current dictionary with a feature that is wanted."""
    store, found = Store(workspace.store), dict[str, dict[str, pl.DataFrame]]()
    known: set[str] = set()
    for pair in workspace.config.pairs():
        refs = {name: read_ref(store, Cell(name, pair)) for name in ("features", "examples", "logit_weights")}
        tables = {name: read_table(store.verify(ref.files[name])) for name, ref in refs.items() if ref is not None}
        if len(tables) < len(refs):
            continue
        ids = set(tables["features"]["feature_id"])
        known |= ids
        if only is None or ids & set(only):
            found[pair] = tables
    if unknown := sorted(set(only or ()) - known):
        raise ConfigError(f"No current dictionary has a feature {unknown[0]!r}. `atlas search` finds features.")
    return found
