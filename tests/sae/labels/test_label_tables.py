import polars as pl
import pytest

from sae.catalog.frames import conform
from sae.catalog.schema import TABLES
from sae.labels.schema import LABEL_EXAMPLES, LABEL_RENEWALS, LABEL_REVIEWS, LABEL_SCORES, LABELS


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("labels", LABELS),
        ("label_examples", LABEL_EXAMPLES),
        ("label_scores", LABEL_SCORES),
        ("label_reviews", LABEL_REVIEWS),
        ("label_renewals", LABEL_RENEWALS),
    ],
)
def test_the_ledger_has_the_columns_of_the_catalog(name, schema):
    frame = pl.DataFrame(schema=schema)

    assert conform(TABLES[name], frame).columns == [column.name for column in TABLES[name].columns]
