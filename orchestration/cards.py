"""A feature on one page: what the command line shows of it."""

from typing import Any

from sae.catalog import Catalog
from sae.catalog.successors import successors_of, went
from sae.errors import AtlasError


def feature_card(catalog: Catalog, feature_id: str) -> dict[str, Any]:
    """All that the catalog says of one feature; of one whose dictionary was replaced, where it went and its successor.

    Raises AtlasError where the catalog knows no such feature.
    """
    feature = catalog.sql("select * from features where feature_id = ?", [feature_id]).to_dicts()
    if not feature and (successors := successors_of(catalog, feature_id)):
        heir = successors[0]["successor_id"]
        card = {} if heir is None else feature_card(catalog, heir)
        return {"asked_for": feature_id, "went": went(successors), "successors": successors, **card}
    if not feature:
        raise AtlasError(f"No feature {feature_id!r} in this catalog. `atlas search TEXT` finds some.")
    one = [feature_id]
    label = catalog.sql("select * from current_labels where feature_id = ?", one).to_dicts()
    return {
        "feature": feature[0],
        "label": label[0] if label else None,
        "scores": catalog.sql(
            "select scorer, score, n from label_scores join current_labels using (label_id) where feature_id = ?", one
        ).to_dicts(),
        "concepts": catalog.sql(
            "select name, kind, slice, precision, recall, f1, n from concept_scores join concepts using (concept_id) "
            "where feature_id = ? order by f1 desc nulls last, name, slice",
            one,
        ).to_dicts(),
        "examples": catalog.sql(
            "select kind, rank, activation, tokens, activations, language, modality, image_path from examples "
            "where feature_id = ? and kind = 'top' order by rank limit 5",
            one,
        ).to_dicts(),
        "neighbors": catalog.sql(
            "select scope, rank, neighbor_id, similarity, label from neighbors "
            "left join current_labels on current_labels.feature_id = neighbor_id "
            "where neighbors.feature_id = ? and rank <= 5 order by scope desc, rank",
            one,
        ).to_dicts(),
        "logit_weights": catalog.sql(
            "select sign, rank, token, weight from logit_weights where feature_id = ? and rank <= 5 "
            "order by sign desc, rank",
            one,
        ).to_dicts(),
    }


def print_card(card: dict[str, Any]) -> str:
    """The card as text."""
    if "went" in card and "feature" not in card:
        return card["went"]
    feature, label = card["feature"], card["label"]
    lines = [
        *([card["went"]] if "went" in card else []),
        f"{feature['feature_id']}  {label['label'] if label else '(no label)'}",
        f"  density {feature['density']:.2%}, max activation {feature['max_activation']:.3g}, "
        f"{'dead' if feature['is_dead'] else 'alive'}",
    ]
    if label:
        lines.append(f"  {label['explanation']}")
        writer = f"{label['labeler']} ({label['model']})"
        lines.append(f"  by {writer}, confidence {_number(label['confidence'])}, {label['label_id']}")
    lines += [f"  score {row['scorer']}: {_number(row['score'])} over {row['n']}" for row in card["scores"]]
    lines += [
        f"  concept {row['name']} ({row['kind']}) in {row['slice']}: F1 {_number(row['f1'])} over {row['n']}"
        for row in card["concepts"]
    ]
    lines += [f"  {example_line(row)}" for row in card["examples"]]
    lines += [
        f"  near ({row['scope']}) {row['similarity']:.2f} {row['neighbor_id']} {row['label'] or ''}"
        for row in card["neighbors"]
    ]
    for sign in ("positive", "negative"):
        tokens = ", ".join(
            f"{row['token']!r} {row['weight']:+.2f}" for row in card["logit_weights"] if row["sign"] == sign
        )
        if tokens:
            lines.append(f"  logits {sign}: {tokens}")
    return "\n".join(lines)


def example_line(row: dict[str, Any]) -> str:
    """An example in one line; the tokens on which the feature is active stand in ‹marks›."""
    marked = (
        f"‹{token}›" if activation > 0 else token
        for token, activation in zip(row["tokens"], row["activations"], strict=True)
    )
    return f"{row['activation']:6.2f} [{row['language']}] {' '.join(' '.join(marked).split())}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
