"""Where the truth is known: does a label name the concept that its feature stands for?"""

import json
import re
import unicodedata
from datetime import datetime

import polars as pl

from sae.labels.schema import LABEL_SCORES


def score_truth(
    labels: pl.DataFrame, best_concepts: pl.DataFrame, seed: int, run_id: str, created_at: datetime
) -> pl.DataFrame:
    """Score labels against ground truth: the frame `label_scores` with scorer `truth`.

    score = 1 where the label holds one of the concept's names as a whole word or phrase, else 0; n = 1.

    :param labels: label_id, feature_id, label
    :param best_concepts: feature_id, concept_id, names list[str]: for a feature, the concept it stands for with its
        names in all languages; labels of other features get no row
    """
    known = labels.select("label_id", "feature_id", "label").join(best_concepts, on="feature_id").sort("label_id")
    rows = [
        (label_id, concept_id, next((name for name in names if names_concept(label, name)), None))
        for label_id, label, concept_id, names in known.select("label_id", "label", "concept_id", "names").iter_rows()
    ]
    if not rows:
        return pl.DataFrame(schema=LABEL_SCORES)
    return pl.DataFrame(
        {
            "label_id": [label_id for label_id, _, _ in rows],
            "scorer": "truth",
            "score": [float(name is not None) for _, _, name in rows],
            "n": 1,
            "details": [
                json.dumps({"concept_id": concept, "named_as": name}, ensure_ascii=False) for _, concept, name in rows
            ],
            "model": "truth-1",
            "seed": seed,
            "run_id": run_id,
            "created_at": created_at,
        },
        schema=LABEL_SCORES,
    )


def names_concept(label: str, name: str) -> bool:
    """Whether `name` stands in the label as a whole word or phrase; case and width of letters do not matter.

    Between letters of scripts without spaces (金門橋) there is no end of a word to look for.
    """
    wanted, text = _plain(name), _plain(label)
    if not wanted:
        return False
    begin = r"(?<!\w)" if _spaced(wanted[0]) else ""
    end = r"(?!\w)" if _spaced(wanted[-1]) else ""
    return re.search(begin + re.escape(wanted) + end, text) is not None


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _spaced(letter: str) -> bool:
    return letter.isalnum() and not unicodedata.name(letter, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI"))
