"""What a run ends with: what was trained, how good it is, what is best known, and the answers to the questions."""

from typing import Any

from sae.catalog import Catalog, open_catalog
from sae.config import Workspace
from sae.evaluation.best_known import best_known
from sae.storage import Store

BEST_KNOWN = 5
"""Features shown of each dictionary."""


def summary(workspace: Workspace) -> str:
    """The summary of the published catalog, as text; says so where none is published."""
    store = Store(workspace.store)
    if not store.exists("catalog/CURRENT"):
        return "No catalog is published yet."
    with open_catalog(store) as catalog:
        dictionaries = catalog.sql(
            "select * from dictionaries where is_current order by d_sae desc, tokens_trained desc, dictionary_id"
        ).to_dicts()
        parts = [f"Catalog {catalog.version} in {workspace.store}", *_models(catalog)]
        for dictionary in dictionaries:
            parts.append(_dictionary(dictionary))
            parts += _best_known(catalog, dictionary["dictionary_id"])
        parts += [*_rejected(catalog), *_warnings(catalog), *_answers(catalog)]
    return "\n".join(parts)


def _models(catalog: Catalog) -> list[str]:
    return [
        f"Model {row['name']}: {row['architecture']}, {row['n_layers']} layers, {row['n_parameters']:,} parameters"
        for row in catalog.sql("select * from models order by name").to_dicts()
    ]


def _dictionary(row: dict[str, Any]) -> str:
    tokens = "trained elsewhere" if row["tokens_trained"] is None else f"{row['tokens_trained']:,} tokens"
    recovered = "not measured, for the model predicts no next token"
    if row["loss_recovered"] is not None:
        recovered = f"{row['loss_recovered']:.1%} {_bar(row['loss_recovered'])}"
    return (
        f"\nDictionary {row['site']}.{row['recipe']} ({row['dictionary_id']}): {row['architecture']}, "
        f"{row['d_sae']:,} latents, {tokens}\n"
        f"  variance explained {1 - row['fvu']:.1%} {_bar(1 - row['fvu'])}   loss recovered {recovered}\n"
        f"  L0 {row['l0']:.1f}, dead {row['dead_fraction']:.1%}"
    )


def _rejected(catalog: Catalog) -> list[str]:
    rows = catalog.sql("select * from dictionaries where rejected_because is not null order by site, recipe").to_dicts()
    return [
        f"\nNot current: {row['site']}.{row['recipe']} ({row['dictionary_id']}) misses {row['rejected_because']}"
        for row in rows
    ]


def _warnings(catalog: Catalog) -> list[str]:
    rows = catalog.sql("select * from checks where not passed order by asset, partition, name").to_dicts()
    return [
        f"\nWarning: {row['name']} of {row['asset']}{_where(row['partition'])}: "
        f"{row['value']:.4g} against {row['threshold']:g}"
        for row in rows
    ]


def _best_known(catalog: Catalog, dictionary_id: str) -> list[str]:
    tables = [
        catalog.sql("select * exclude (languages, modalities) from features where dictionary_id = ?", [dictionary_id]),
        catalog.sql("select * from concept_scores where dictionary_id = ?", [dictionary_id]),
        catalog.sql("select * from current_labels where dictionary_id = ?", [dictionary_id]),
        catalog.sql("select * from label_scores"),
    ]
    names = dict(catalog.sql("select concept_id, name from concepts").iter_rows())
    lines = ["  best known:"]
    for row in best_known(*tables, count=BEST_KNOWN).to_dicts():
        match row["basis"]:
            case "concept":
                known = f"F1 {row['f1']:.2f} for {names[row['concept_id']]}"
            case "label":
                known = f"its label scores {row['label_score']:.2f}"
            case _:
                known = "not scored"
        lines.append(f"    {row['feature_id']}  {row['label']}  ({known}, active on {row['density']:.2%} of tokens)")
    return lines


def _answers(catalog: Catalog) -> list[str]:
    lines = []
    asked = catalog.sql("select * from prompts where target is not null order by prompt_id").to_dicts()
    for prompt in asked:
        verdict = "right" if prompt["is_correct"] else f"wrong, asked for {prompt['target']}"
        lines.append(f"\n{prompt['text']} → {prompt['predicted']} ({verdict})")
        runs = catalog.sql(
            "select r.*, d.recipe from attribution_runs r join dictionaries d using (dictionary_id) "
            "where prompt_id = ? order by d.d_sae desc, d.tokens_trained desc",
            [prompt["prompt_id"]],
        ).to_dicts()
        for run in runs:
            lines.append(
                f"  features on the way ({run['recipe']}; Spearman with ablation {_number(run['ablation_spearman'])},"
                f" error term {run['error_attribution']:+.2f} of {run['logit_diff']:+.2f} logits):"
            )
            lines += _way(catalog, run)
    return lines


def _way(catalog: Catalog, run: dict[str, Any]) -> list[str]:
    rows = catalog.sql(
        "select a.*, l.label from attributions a left join current_labels l using (feature_id) "
        "where a.prompt_id = ? and a.dictionary_id = ? order by rank limit 8",
        [run["prompt_id"], run["dictionary_id"]],
    ).to_dicts()
    return [
        f"    {row['attribution']:+6.2f} (ablated {_number(row['ablation_effect'])})  at {row['token']!r}: "
        f"{row['label'] or row['feature_id']}"
        for row in rows
    ]


def _where(partition: str | None) -> str:
    return "" if partition is None else f"[{partition}]"


def _bar(share: float, width: int = 20) -> str:
    filled = round(max(0.0, min(1.0, share)) * width)
    return "█" * filled + "░" * (width - filled)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}"
