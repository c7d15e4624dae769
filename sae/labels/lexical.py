"""The offline labeler: names a feature by the words that set its examples apart from the corpus.

It needs no model and pretends to nothing: a label lists words (or pictures, or a language) at which the feature is
active, and where those words alone do not tell when, the words that stand before them. Method: weighted log-odds with
an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, "Fightin' Words", §3.5), activations as weights.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

import polars as pl

from sae.identity import canonical_json
from sae.labels.contexts import Contexts
from sae.labels.log_odds import Corpus
from sae.labels.rule import confusion, parse_rule
from sae.labels.schema import LABEL_EXAMPLES, LABELS, label_id
from sae.labels.split import split_examples
from sae.labels.wording import LexicalSettings, Shown, describe

LABELER, MODEL, PROMPT_VERSION = "lexical", "log-odds", "lexical-2"


def label_features(
    features: pl.DataFrame,
    examples: pl.DataFrame,
    word_counts: pl.DataFrame,
    *,
    seed: int,
    run_id: str,
    created_at: datetime,
    settings: LexicalSettings | None = None,
    radius: int = 12,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Label every live feature: the frames `labels` and `label_examples`.

    confidence = max(0, recall + specificity − 1) · n / (n + 2): Youden's J of the label's rule (`rule.parse_rule`) on
    the shown examples, drawn towards 0 where few of them (n) are active.

    :param features: feature_id, dictionary_id, index, density, is_dead, languages
    :param examples: the table `examples`; those that `split_examples` holds out are not read
    :param word_counts: `words.count_words` of the same corpus
    :param seed: the labeler's seed, a part of each label's id
    :param radius: as the examples were made
    """
    settings = settings or LexicalSettings()
    live = features.filter(~pl.col("is_dead")).sort("dictionary_id", "index")
    by_id = {row[0]: row[1:] for row in live.select("feature_id", "dictionary_id", "index", "density").iter_rows()}
    split = split_examples(examples.join(live.select("feature_id"), on="feature_id", how="semi"))
    held_out = dict(split.filter(pl.col("use") == "held_out").group_by("feature_id").agg("example_id").iter_rows())
    corpus = Corpus(word_counts, settings.prior)
    asked = {"labeler": PROMPT_VERSION, "settings": asdict(settings)}
    rows: list[dict[str, object]] = []
    uses: list[tuple[str, str, str]] = []
    for feature_id, read in _by_feature(split.filter(pl.col("use") == "shown"), radius):
        dictionary_id, index, density = by_id[feature_id]
        # Where no model is asked, all that the label is made from beside the corpus stands for the prompt.
        prompt = canonical_json({**asked, "examples": read.example_ids})
        sha256 = hashlib.sha256(prompt.encode()).hexdigest()
        name = label_id(feature_id, LABELER, MODEL, sha256, seed, 1)
        label, explanation = describe(read, density * corpus.n_words, corpus, settings)
        rows.append(
            {
                "label_id": name,
                "feature_id": feature_id,
                "dictionary_id": dictionary_id,
                "index": index,
                "label": label,
                "explanation": explanation,
                "confidence": _confidence(label, read),
                "labeler": LABELER,
                "model": MODEL,
                "prompt_version": PROMPT_VERSION,
                "prompt_sha256": sha256,
                "prompt": prompt,
                "seed": seed,
                "attempt": 1,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost_usd": 0.0,
                "status": "ok",
                "origin": "new",
                "run_id": run_id,
                "created_at": created_at,
            }
        )
        uses += [(name, example, "shown") for example in read.example_ids]
        uses += [(name, example, "held_out") for example in held_out.get(feature_id, [])]
    labels = pl.DataFrame(rows, schema=LABELS).sort("dictionary_id", "index")
    return labels, pl.DataFrame(uses, schema=LABEL_EXAMPLES, orient="row")


def _by_feature(shown: pl.DataFrame, radius: int) -> Iterator[tuple[str, Shown]]:
    contexts = Contexts(shown, radius)
    rows = shown.with_row_index("row").group_by("feature_id", maintain_order=True)
    for feature_id, at, *rest in rows.agg("row", "example_id", "activation").iter_rows():
        example_ids, activations = rest
        yield feature_id, Shown(example_ids, [contexts[row] for row in at], activations)


def _confidence(label: str, shown: Shown) -> float:
    counts = confusion(parse_rule(label), zip(shown.contexts, shown.activations, strict=True))
    return max(0.0, counts.recall + counts.specificity - 1) * counts.active / (counts.active + 2)
