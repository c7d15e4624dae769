"""Which run made an artifact, and when, by the published lineage."""

from typing import Any

from sae.catalog import Catalog


def made_by(catalog: Catalog, asset: str, partition: str | None, data_version: str) -> dict[str, Any]:
    """The run and its times; nothing where the catalog's lineage has another version by now."""
    rows = catalog.sql(
        "select run_id, started_at, finished_at, code_version from lineage where asset = ? "
        "and partition is not distinct from ? and data_version = ?",
        [asset, partition, data_version],
    ).to_dicts()
    if not rows:
        return {}
    row = rows[0]
    seconds = (row["finished_at"] - row["started_at"]).total_seconds()
    times = {"made": str(row["finished_at"]), "seconds": round(seconds, 3)}
    return {"run": row["run_id"], **times, "code_version": row["code_version"]}
