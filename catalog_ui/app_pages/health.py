"""Health: whether what is published is sound and current; what is wrong stands first."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from catalog_ui import health_queries
from catalog_ui.access import Reader, require_reader
from catalog_ui.components.dictionaries import choose_dictionary
from catalog_ui.components.fact_sheet import Chip, heading
from catalog_ui.components.health_problems import problems, show_problems
from catalog_ui.components.health_sections import (
    show_checks,
    show_corpora,
    show_dictionaries,
    show_evaluation,
    show_labels_to_review,
    show_runs,
    show_scores,
    show_times,
)
from catalog_ui.dictionary_pair_queries import evaluation
from catalog_ui.wording import ago, counted, share, when
from sae.catalog.versions import list_versions
from sae.storage import Store


@st.cache_data(max_entries=4, show_spinner="Looking at the catalog")
def _read(_reader: Reader, store: str, version: str) -> dict[str, Any]:
    """What each query of the page found; cached by store and version, for it sums over every feature and label."""
    catalog = _reader.catalog
    to_review, worst = health_queries.labels_to_review(catalog)
    return {
        "facts": health_queries.facts(catalog),
        "dictionaries": health_queries.dictionaries(catalog),
        "coverage": health_queries.coverage(catalog),
        "label_attempts": health_queries.label_attempts(catalog),
        "least_score": health_queries.least_score(catalog),
        "scores": health_queries.scores(catalog),
        "to_review": to_review,
        "labels_to_review": worst,
        "failed_checks": health_queries.failed_checks(catalog),
        "checks": health_queries.checks(catalog),
        "runs": health_queries.runs(catalog),
        "all_runs": health_queries.all_runs(catalog),
        "times": health_queries.times(catalog),
        "corpora": health_queries.corpora(catalog),
        "retired_shards": health_queries.retired_shards(catalog),
    }


def _heading(found: Mapping[str, Any], version: str, wrong: int) -> None:
    built = datetime.fromisoformat(found["facts"]["created_at"])
    checks, coverage = found["checks"], found["coverage"]
    n, failed = checks["n"].sum(), checks["failed"].sum()
    live, labelled = coverage["live"].sum(), coverage["labelled"].sum()
    rejected = found["dictionaries"]["rejected_because"].count()
    chips = [
        Chip(f"{counted(failed, 'check')} failed", "bad") if failed else Chip("all checks pass", "good"),
        Chip(f"{rejected:,} turned down", "bad") if rejected else Chip("nothing turned down", "good"),
        Chip(f"{counted(found['all_runs']['failed'], 'run')} failed", "bad")
        if found["all_runs"]["failed"]
        else Chip("no run failed", "good"),
    ]
    heading(
        "catalog",
        f"Catalog {version}",
        f"Published; built {ago(built, datetime.now(UTC))}. " + _in_words(wrong),
        chips,
        [
            ("Built, UTC", when(built)),
            ("Current dictionaries", f"{found['dictionaries']['is_current'].sum():,}"),
            ("Live features", f"{live:,}"),
            ("With a label", share(labelled / live) if live else None),
            ("Labels to review", f"{sum(found['to_review'].values()):,}"),
            ("Checks passed", f"{n - failed:,} of {n:,}"),
            ("Paid", f"{found['all_runs']['cost_usd'] or 0:.2f} USD"),
        ],
        size="card",
    )


def _in_words(wrong: int) -> str:
    return "All is well." if not wrong else "One thing to look at." if wrong == 1 else f"{wrong:,} things to look at."


reader = require_reader()
st.title("Health")
found = _read(reader, reader.store, reader.version)
versions = list_versions(Store(reader.store))
wrong = problems(found, reader.version, [name for name in versions if name > reader.version])
_heading(found, reader.version, len(wrong))
show_problems(wrong)
show_dictionaries(found)
st.subheader("Measured claims")
dictionary = choose_dictionary(reader)
show_evaluation(evaluation(reader.catalog, dictionary["dictionary_id"]))
left, right = st.columns(2, gap="large")
with left:
    show_scores(found)
    show_checks(found)
    show_corpora(found)
with right:
    show_labels_to_review(found)
left, right = st.columns(2, gap="large")
with left:
    show_times(found)
with right:
    show_runs(found)
st.caption("This page shows what is published. The command below says what has become stale since.")
st.code("atlas status", language="bash")
