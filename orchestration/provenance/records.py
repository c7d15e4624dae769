"""What the ledger holds about a label: its row, its examples, its reviews, and the requests that were made for it.

The ledger is opened for reading only. A store that was copied without its state folder has none.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae.errors import AtlasError

_REQUESTS = """
select request_id, request_sha256, body, base_url, requests.model, seed, send, reserved_usd, run_id,
    requests.created_at as sent_at, status, raw, input_tokens, output_tokens, cost_usd, seconds
from requests join request_prompts using (request_sha256) left join request_replies using (request_id)
where purpose = 'label' and key = ? order by request_id
"""


class LedgerReader:
    """Rows of one ledger file as they lie there."""

    def __init__(self, connection: sqlite3.Connection):
        connection.row_factory = sqlite3.Row
        self._connection = connection

    def label(self, label_id: str) -> dict[str, Any] | None:
        """The row of a label."""
        found = self._rows("select * from labels where label_id = ?", label_id)
        return found[0] if found else None

    def labels_named(self, prefix: str) -> list[str]:
        """Ids of labels that begin so, a few at most."""
        query = "select label_id from labels where substr(label_id, 1, length(?1)) = ?1 order by label_id limit 5"
        return [row["label_id"] for row in self._rows(query, prefix)]

    def uses(self, label_id: str) -> list[tuple[str, str]]:
        """The examples of a label with their use, sorted."""
        query = "select example_id, use from label_examples where label_id = ? order by example_id"
        return [(row["example_id"], row["use"]) for row in self._rows(query, label_id)]

    def scores(self, label_id: str) -> list[dict[str, Any]]:
        """What scorers said of a label."""
        query = "select scorer, score, n, model from label_scores where label_id = ? order by scorer, model"
        return self._rows(query, label_id)

    def reviews(self, label_id: str) -> list[dict[str, Any]]:
        """What people said of a label, the oldest first."""
        return self._rows("select * from label_reviews where label_id = ? order by created_at", label_id)

    def review(self, review_id: str) -> dict[str, Any] | None:
        """One review."""
        found = self._rows("select * from label_reviews where review_id = ?", review_id)
        return found[0] if found else None

    def requests(self, feature_id: str) -> list[dict[str, Any]]:
        """The requests that asked for labels of a feature, with what came back."""
        tables = {row["name"] for row in self._rows("select name from sqlite_master where type = 'table'")}
        return self._rows(_REQUESTS, feature_id) if "requests" in tables else []

    def _rows(self, query: str, *parameters: str) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in self._connection.execute(query, parameters)]
        except sqlite3.Error as error:
            raise AtlasError(f"The ledger cannot be read: {error}.") from error


@contextlib.contextmanager
def open_ledger(path: Path) -> Iterator[LedgerReader | None]:
    """The ledger for reading; None where there is none."""
    if not path.is_file():
        yield None
        return
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        yield LedgerReader(connection)
