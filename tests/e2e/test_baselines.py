"""A baseline trains again what it was made from; drift is a row of `checks`."""

import pytest
from tiny_pipeline import SITE, run, write_config

import orchestration.sources
from sae.catalog import open_catalog

PAIR = f"{SITE}.small"


def test_a_baseline_trains_again_each_period_and_says_whether_anything_drifted(place, monkeypatch: pytest.MonkeyPatch):
    config = write_config(place.folder, lambda config: config.update(baselines=[{"dictionary": PAIR, "every_days": 1}]))
    today = 1_800_000_000.0
    monkeypatch.setattr(orchestration.sources, "now_s", lambda: today)

    first = run(config)
    monkeypatch.setattr(orchestration.sources, "now_s", lambda: today + 60)
    same_day = run(config)
    monkeypatch.setattr(orchestration.sources, "now_s", lambda: today + 86_400)
    next_day = run(config)

    assert [str(cell) for cell in first.made] == [f"baseline[{PAIR}]", "catalog_candidate", "catalog"]
    assert same_day.made == []
    assert [str(cell) for cell in next_day.made] == [f"baseline[{PAIR}]"], "the same result stops there"
    assert place.ref("baseline", PAIR).facts["trained"] == place.ref("dictionary_candidate", PAIR).data_version
    with open_catalog(place.store) as catalog:
        checks = catalog.sql("select name, passed, value from checks where asset = 'baseline' order by name")
    assert checks.rows() == [
        ("baseline_fvu", True, 0.0),
        ("baseline_loss_recovered", True, 0.0),
        ("baseline_same", True, 1.0),
    ]
