"""A small catalog, synthetic but complete: two dictionaries of 60 features, rows in every table, published."""

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from catalog_rows_causal import causal_rows
from PIL import Image

from sae.catalog.frames import frame_schema
from sae.catalog.parquet import write_parquet
from sae.catalog.publish import build_candidate, publish
from sae.catalog.schema import TABLES
from sae.identity import content_id
from sae.storage import Store, StoredFile

LARGE, SMALL = "aaaa000011112222", "bbbb000011112222"
"""The two dictionaries' ids."""
OLD = "dddd000011112222"
"""A dictionary that LARGE replaced."""
N_FEATURES = 60
"""Features of each; the last one is dead."""
WEAK = N_FEATURES - 2
"""Index of the feature whose labels do not hold."""
MODEL = "cccc000011112222"
SITE = "world-lm.layers.3"
RUN = "run-1"
T0 = datetime(2026, 1, 2, 3, 4, 5)
CONCEPTS = (
    ("golden_gate", "Golden Gate Bridge", "landmark", "ゴールデンゲートブリッジ"),
    ("alcatraz", "Alcatraz", "landmark", "アルカトラズ"),
    ("sacramento", "Sacramento", "city", "サクラメント"),
    ("kobe_bryant", "Kobe Bryant", "player", "コービー・ブライアント"),
    ("lakers", "Lakers", "team", "レイカーズ"),
    ("los_angeles", "Los Angeles", "city", "ロサンゼルス"),
    ("california", "California", "state", "カリフォルニア"),
    ("addition", "addition", "code", "足し算"),
)
"""(concept_id, name, kind, Japanese name): the first features of each dictionary, in this order."""
QUESTION = "Fact: The capital of the state where Kobe Bryant played basketball is"


def build_small_catalog(folder: Path) -> Path:
    """Make a store with one published catalog in `folder`, and return the store's root. Takes about a second."""
    store = Store(str(folder))
    store.open_schema()
    version = build_candidate(
        store, small_frames(store), small_parquet(store), {"config": "seed: 0", "label_score": "0.6"}
    )
    publish(store, version)
    return folder


def small_frames(store: Store) -> dict[str, pl.DataFrame]:
    """The frame of every native table, by name. Writes the pictures that documents refer to."""
    rows: dict[str, list[tuple]] = {
        "models": [
            (MODEL, "world-lm", "WorldLM", 6, 64, 123_456, 500, ["text", "image"], "world", None),
        ],
        "documents": _documents(store),
        "shards": [(f"world-{i:05d}", "world", f"{i}" * 64, 10, 100, T0, None) for i in range(4)],
        "dictionaries": [_dictionary(LARGE, "large", 0.12, 6.5), _dictionary(SMALL, "small", 0.21, 4.5)],
        "dictionary_shards": [
            (dictionary, f"world-{i:05d}", f"v{i}", "held_out" if i == 3 else "train")
            for dictionary in (LARGE, SMALL)
            for i in range(4)
        ],
        "features": [_feature(d, i) for d in (LARGE, SMALL) for i in range(N_FEATURES)],
        "clusters": [
            (dictionary, c, name, N_FEATURES // 2, float(c), -float(c))
            for dictionary in (LARGE, SMALL)
            for c, name in enumerate(("places", "code"))
        ],
        "families": [(f"{SMALL}:{i}", f"{LARGE}:{i}", 0.9) for i in range(len(CONCEPTS))],
        "feature_matches": [
            *((*_id(LARGE, i), f"{OLD}:{i}", OLD, 0.98, 0.99, "carried") for i in range(len(CONCEPTS))),
            (*_id(LARGE, 20), f"{OLD}:0", OLD, 0.81, 0.9, "split"),
            (*_id(LARGE, 1), f"{OLD}:29", OLD, 0.75, 0.85, "merged"),
            (None, LARGE, None, f"{OLD}:30", OLD, None, None, "retired"),
            (*_id(LARGE, 21), None, OLD, None, None, "new"),
        ],
        **_label_rows(),
        **causal_rows(LARGE, SMALL, MODEL, RUN, QUESTION),
        **_evaluation_rows(),
    }
    return {name: pl.DataFrame(found, schema=frame_schema(TABLES[name]), orient="row") for name, found in rows.items()}


def small_parquet(store: Store) -> dict[str, list[StoredFile]]:
    """The files of the large tables, by name."""
    files: dict[str, list[StoredFile]] = {}
    for dictionary in (LARGE, SMALL):
        for name, rows in {
            "examples": [row for i in range(N_FEATURES - 1) for row in _examples(dictionary, i)],
            "neighbors": [row for i in range(N_FEATURES) for row in _neighbors(dictionary, i)],
            "coactivations": [
                (*_id(dictionary, i), rank, f"{dictionary}:{(i + rank) % (N_FEATURES - 1)}", 0.5 / rank, 3.0 / rank)
                for i in range(N_FEATURES - 1)
                for rank in (1, 2, 3)
            ],
            "logit_weights": [
                (*_id(dictionary, i), sign, rank, rank, _word(i + rank), weight / rank)
                for i in range(N_FEATURES)
                for sign, weight in (("positive", 2.0), ("negative", -1.0))
                for rank in range(1, 6)
            ],
        }.items():
            frame = pl.DataFrame(rows, schema=frame_schema(TABLES[name]), orient="row")
            files.setdefault(name, []).append(write_parquet(store, name, dictionary, frame))
    return files


def _id(dictionary: str, index: int) -> tuple[str, str, int]:
    return f"{dictionary}:{index}", dictionary, index


def _word(index: int) -> str:
    return CONCEPTS[index][1] if index < len(CONCEPTS) else f"word{index}"


def _documents(store: Store) -> list[tuple]:
    rows = []
    for i in range(40):
        concept, name, _, japanese = CONCEPTS[i % len(CONCEPTS)]
        language, modality, text, image = "en", "text", f"Many people know {name} from a visit .", None
        if i % 4 == 1:
            language, text = "ja", f"{japanese} は とても 有名 です ."
        elif i % 4 == 2:
            modality, text, image = "image", f"<image> {name}", f"corpora/world/images/{i:05d}.png"
            store.write_bytes(image, _picture(i))
        elif concept == "addition":
            language, modality, text = "py", "code", "def add(a, b): return a + b"
        rows.append(
            (f"doc{i:013d}", "world", f"world-{i % 4:05d}", language, modality, text, image, 10, "world", concept)
        )
    return rows


def _picture(seed: int) -> bytes:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def provenance_of(recipe: str) -> dict[str, Any]:
    """What a dictionary of the recipe was made from: three shards trained on, the last of four held out."""
    shards = [
        {
            "split": "held_out" if i == 3 else "train",
            "record": {"shard": f"world-{i:05d}", "data_version": f"v{i}", "statistics": {"n_tokens": 100}},
        }
        for i in range(4)
    ]
    return {
        "model": {"model_id": MODEL, "name": "world-lm"},
        "activation_set": {
            "site": SITE,
            "hookpoint": "layers.3",
            "normalisation": "sqrt_d",
            "scale": 0.9,
            "shards": shards,
        },
        "documents": {f"world-{i:05d}": {"sha256": f"{i}" * 64} for i in range(4)},
        "recipe_config": {"architecture": "matryoshka", "groups": [40, 20], "seed": 0},
        "inputs": {f"activation_set[{SITE}]": "set-1", f"recipe_config[{recipe}]": "config-1"},
        "files": {"cfg.json": {"path": "dictionaries/cfg.json", "sha256": "c" * 64, "size": 10}},
    }


def _dictionary(dictionary: str, recipe: str, fvu: float, l0: float) -> tuple:
    provenance = json.dumps(provenance_of(recipe))
    measures = (fvu, l0, 1 / N_FEATURES, 0.05, 0.97)
    trained = ("layers.3", recipe, "matryoshka", 64, N_FEATURES, 8, 1_000_000)
    return (dictionary, f"key-{recipe}", SITE, MODEL, *trained, *measures, "1", RUN, T0, True, None, None, provenance)


def _feature(dictionary: str, index: int) -> tuple:
    dead = index == N_FEATURES - 1
    tokens = [] if dead else [_word(index)]
    if index < len(CONCEPTS):
        tokens.append(CONCEPTS[index][3])
    languages = [] if dead else [{"key": "en", "value": 0.75}, {"key": "ja", "value": 0.25}]
    modalities = [] if dead else [{"key": "image", "value": 0.25}, {"key": "text", "value": 0.75}]
    strength = (0.0, 0.0, 0.0) if dead else (0.3 / (index + 1), 10.0 - index / 10, 4.0 - index / 20)
    angle = index / N_FEATURES * 2 * np.pi
    place = (float(np.cos(angle)) * (1 + index % 3), float(np.sin(angle)) * (1 + index % 3))
    cluster = -1 if index % 20 == 19 else index % 2
    return (*_id(dictionary, index), *strength, dead, 1.0, tokens, languages, modalities, 0.4, *place, cluster)


def _examples(dictionary: str, index: int) -> list[tuple]:
    rows = []
    kinds = [("top", None, rank) for rank in range(1, 9)]
    kinds += [("quantile", b, rank) for b in range(4) for rank in (1, 2)]
    kinds += [("random", None, rank) for rank in range(1, 4)] + [("out_of_context", None, 1)]
    for number, (kind, bin_, rank) in enumerate(kinds):
        # Documents about a concept lie len(CONCEPTS) apart; four of five kinds of them are taken in turn.
        document = (index + len(CONCEPTS) * (number % 5)) % 40
        strongest = 0.0 if kind == "out_of_context" else (10.0 - index / 10) / (1 + number / 4)
        japanese = document % 4 == 1
        name = CONCEPTS[document % len(CONCEPTS)][3 if japanese else 1]
        tokens = (
            [name, "は", "とても", "有名", "です", "."] if japanese else ["Many", "people", "know", name, "from", "."]
        )
        position = 0 if japanese else 3
        activations = [strongest if i == position else 0.0 for i in range(len(tokens))]
        image = f"corpora/world/images/{document:05d}.png" if document % 4 == 2 else None
        seen = ("ja" if japanese else "en", "image" if image else "text", image)
        example = content_id([dictionary, index, kind, bin_, rank])
        where = (f"doc{document:013d}", position, strongest, tokens, activations)
        rows.append((example, *_id(dictionary, index), kind, rank, bin_, *where, *seen))
    return rows


def _neighbors(dictionary: str, index: int) -> list[tuple]:
    other = SMALL if dictionary == LARGE else LARGE
    same = [
        (*_id(dictionary, index), rank, f"{dictionary}:{(index + rank) % N_FEATURES}", 0.9 - rank / 10, "same")
        for rank in range(1, 6)
    ]
    return [*same, (*_id(dictionary, index), 1, f"{other}:{index}", 0.8, "cross")]


def _label_rows() -> dict[str, list[tuple]]:
    labels, shown, scores = [], [], []
    for dictionary in (LARGE, SMALL):
        for index in range(N_FEATURES - 1):
            label_id = f"label-{dictionary[:4]}-{index}"
            labels.append(_label(label_id, dictionary, index, _word(index), "lexical", "new", None, 0))
            examples = _examples(dictionary, index)
            shown += [(label_id, row[0], "shown" if row[4] == "top" else "held_out") for row in examples]
            rule = 0.5 if index == WEAK else 0.9
            scores.append((label_id, "rule", rule, 20, json.dumps({"hits": 18}), None, 0, RUN, T0))
            if index < len(CONCEPTS):
                scores.append((label_id, "truth", 1.0, 10, None, None, 0, RUN, T0))
    corrected = f"label-{LARGE[:4]}-0"
    labels.append(_label("label-human", LARGE, 0, "Golden Gate Bridge, San Francisco", "human", "human", corrected, 1))
    labels.append(_label("label-newer", LARGE, 0, "a bridge", "lexical", "new", None, 2))
    labels.append(
        (*_label("label-failed", LARGE, 1, "", "openai", "new", None, 3)[:19], "refused", "new", None, RUN, T0)
    )
    review = ("review-1", corrected, "ada", "rewrite", "Golden Gate Bridge, San Francisco", "too short", T0)
    again = (f"label-{SMALL[:4]}-3", 1, RUN, T0 + timedelta(days=1))
    return {
        "labels": labels,
        "label_examples": shown,
        "label_scores": scores,
        "label_reviews": [review],
        "label_renewals": [again],
    }


def _label(
    label_id: str, dictionary: str, index: int, label: str, labeler: str, origin: str, parent: str | None, day: int
) -> tuple:
    explanation = f"Active on mentions of {label}." if label else ""
    prompt = ("v1", "0" * 64, f"Examples of {label}", 0, 0.0, day)
    written = (label, explanation, 0.8, labeler, "log-odds", *prompt, 0, 0, 0.0, label)
    made = T0 + timedelta(days=day)
    return (label_id, *_id(dictionary, index), *written, "ok", origin, parent, RUN, made)


def _evaluation_rows() -> dict[str, list[tuple]]:
    slices = (("all", 0.95), ("en", 0.97), ("ja", 0.92), ("image", 0.88))
    asset = ("dictionary_candidate", f"{SITE}.large")
    return {
        "concepts": [(concept, name, kind) for concept, name, kind, _ in CONCEPTS],
        "concept_scores": [
            (concept, d, f"{d}:{i}", i, name, f1, f1, f1, 30)
            for d in (LARGE, SMALL)
            for i, (concept, *_) in enumerate(CONCEPTS)
            for name, f1 in slices
        ],
        "evaluation": [
            (d, metric, value, 100, value - 0.02, value + 0.02, control, 0, json.dumps({"control": "random features"}))
            for d in (LARGE, SMALL)
            for metric, value, control in (("concept_f1", 0.94, 0.1), ("labels_true", 0.9, 0.02))
        ],
        "checks": [
            (*asset, "fvu_below", True, "WARN", 0.12, 0.3, RUN, T0),
            (*asset, "dead_below", True, "WARN", 1 / N_FEATURES, 0.2, RUN, T0),
            ("catalog_candidate", None, "catalog_consistent", True, "ERROR", 0.0, 0.0, RUN, T0),
        ],
        "thresholds": [("fvu", 0.3), ("label_score", 0.6)],
        "runs": [(RUN, "manual", "SUCCESS", T0, T0 + timedelta(minutes=4), 0.0)],
        "lineage": [
            ("corpus", "world-00000", "v0", "key-corpus", "1", RUN, T0, T0, None, 0.0),
            (*asset, LARGE, "key-large", "1", RUN, T0, T0 + timedelta(minutes=1), 2**30, 0.0),
        ],
        "lineage_edges": [(*asset, LARGE, "corpus", "world-00000", "v0")],
    }
