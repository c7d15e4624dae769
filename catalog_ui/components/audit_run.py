"""A run of the orchestrator, in the facts of what it made."""

from catalog_ui import audit_queries
from catalog_ui.wording import lasted, when
from sae.catalog.query import Catalog


def run_facts(catalog: Catalog, run_id: str | None) -> list[tuple[str, str | None]]:
    """The run that made something: its id, what started it, how it ended, when and after how long."""
    found = audit_queries.run(catalog, run_id)
    if found is None:
        return [("Run", run_id)]
    seconds = (found["finished_at"] - found["started_at"]).total_seconds() if found["finished_at"] else None
    told = (f"by {found['trigger']}", found["status"], when(found["started_at"]), lasted(seconds))
    return [("Run", run_id), ("Started", " · ".join(part for part in told if part))]
