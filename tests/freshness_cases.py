"""What a refresh makes again after each change, as a table: tests run it, `python tests/freshness_cases.py` prints it.

The platform it is about: a site that reads the demo world (two shards) and a folder of text files, two recipes, a
question and a swap in it. The last file by its shard's name is held out: no dictionary is trained on it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from tiny_pipeline import QUESTION, SITE, Edit

from sae.labels.ledger import Ledger
from sae.labels.reviews import review_label

EVERYTHING = "everything"
CATALOG = ("catalog_candidate", "catalog")
SITE_TABLES = ("cross_neighbors", "feature_matches")
AFTER_A_DICTIONARY = (
    "features",
    "examples",
    "labels",
    "label_scores",
    "neighbors",
    "feature_map",
    "logit_weights",
    "attributions",
    "steering",
    "evaluation",
)
TRAINED = ("dictionary_candidate", "dictionary", *AFTER_A_DICTIONARY)
RECIPES = ("large", "small")
TEXTS = {
    "a.txt": f"{QUESTION} Sacramento",
    "b.txt": "Kobe Bryant played basketball",
    "c.txt": "The capital of the state is Sacramento",
}
"""Words that the world's model knows."""
NEW_TEXT = "The state where Kobe Bryant played basketball"
HELD_OUT = "c.txt"
CONCEPTS = """\
concepts:
- {name: Texas, kind: state, positive: [Dallas, Houston], negative: [Los Angeles, San Francisco]}
"""


class Case(NamedTuple):
    """A change and the assets that are made again, each at every partition that `partitions` lets through."""

    change: str
    made: tuple[str, ...] = ()
    edit: Edit = lambda config: None
    touch: Callable[[Path], object] = lambda folder: None
    recipes: tuple[str, ...] = RECIPES
    shards: int = 0
    """How many shards are read again, of the corpus and of the activations."""
    code: str | None = None
    """The asset whose code version is another."""

    def cells(self) -> dict[str, int]:
        """How many partitions of each asset are made again."""
        counts: dict[str, int] = {}
        for asset in self.made:
            by_recipe = asset in TRAINED
            counts[asset] = self.shards if asset in ("corpus", "activations") else len(self.recipes) if by_recipe else 1
        return counts


def add_files(config: dict[str, Any]) -> None:
    """The tiny config with a corpus of files beside the world."""
    config["corpora"]["mine"] = {"source": "files", "paths": ["*.txt"], "shards": 2}
    config["sites"][0]["corpora"] = ["world", "mine"]


def platform(config: dict[str, Any]) -> None:
    """The tiny config with a corpus of files, and a swap of its question."""
    add_files(config)
    config["swaps"] = [{"prompt": "kobe", "out": ["California"], "put": ["New York"]}]


def by_hand(config: dict[str, Any]) -> None:
    """Train again only when someone asks."""
    for recipe in config["dictionaries"].values():
        recipe["retrain"] = "manual"


def write_same(folder: Path) -> None:
    """Put another file of the same content in a file's place."""
    copy = folder / "b.copy"
    copy.write_bytes((folder / "b.txt").read_bytes())
    copy.replace(folder / "b.txt")


def review(folder: Path) -> None:
    """Accept a label."""
    with Ledger(folder / "state" / "ledger.sqlite") as ledger:
        review_label(ledger, min(ledger.label_ids("ok")), "accept", "ada", datetime.now(UTC))


AFTER_TRAINING = (*TRAINED, *SITE_TABLES, "attribution_edges", *CATALOG)
CASES = (
    Case("nothing"),
    Case("a comment in the config", touch=lambda f: (f / "atlas.yaml").open("a").write("# A comment.\n")),
    Case("an option is written out at its default", edit=lambda c: c["dictionaries"]["small"].update(batch=1024)),
    Case("the schedule", edit=lambda c: c.update(schedule={"refresh": "0 4 * * *"})),
    Case("a file is touched", touch=lambda f: (f / "b.txt").touch()),
    Case("a file is written again with the same text", touch=write_same),
    Case("a file's last line gets a line break (the same documents)", ("corpus",), shards=1,
         touch=lambda f: (f / "b.txt").write_text(TEXTS["b.txt"] + "\n")),
    Case("a document", ("corpus", "activations", "activation_set", *AFTER_TRAINING), shards=1,
         touch=lambda f: (f / "b.txt").write_text(NEW_TEXT)),
    Case("a document of a held-out shard, which leaves every dictionary's id",
         ("corpus", "activations", "activation_set", *AFTER_TRAINING), shards=1,
         touch=lambda f: (f / HELD_OUT).write_text(NEW_TEXT)),
    Case("a new file", ("corpus", "activations", "activation_set", *AFTER_TRAINING), shards=1,
         touch=lambda f: (f / "aa.txt").write_text(NEW_TEXT)),
    Case("a new file, where dictionaries train by hand", ("corpus", "activations", "activation_set"), shards=1,
         edit=by_hand, touch=lambda f: (f / "aa.txt").write_text(NEW_TEXT)),
    Case("a deleted file", ("activation_set", *AFTER_TRAINING), touch=lambda f: (f / "b.txt").unlink()),
    Case("one recipe's k", AFTER_TRAINING, recipes=("small",), edit=lambda c: c["dictionaries"]["small"].update(k=3)),
    Case("the labeler's seed", ("labels", "label_scores", "feature_map", *CATALOG),
         edit=lambda c: c.update(labeler={"seed": 1})),
    Case("the scorers", ("label_scores", *CATALOG), edit=lambda c: c.update(scorers=["truth"])),
    Case("a threshold that all meet", ("dictionary", *CATALOG), edit=lambda c: c["checks"].update(fvu=0.99)),
    Case("one question", ("attributions", "steering", "attribution_edges", *CATALOG),
         edit=lambda c: c["prompts"][0].update(target="Boston")),
    Case("a swap's strength", ("steering", *CATALOG), edit=lambda c: c["swaps"][0].update(strength=2)),
    Case("from how many features on neighbours are approximate: more than there are", ("neighbors", "cross_neighbors"),
         edit=lambda c: c.update(neighbors={"exact_below": 100_000})),
    Case("a list of concepts, of which a world's own model takes none", ("evaluation",),
         edit=lambda c: c.update(concepts="concepts.yaml"),
         touch=lambda f: (f / "concepts.yaml").write_text(CONCEPTS)),
    Case("a person's word on a label", CATALOG, touch=review),
    Case("a steering prompt", ("steering", *CATALOG), edit=lambda c: c["steering"].update(prompts=[NEW_TEXT])),
    Case("the code of one asset, whose result is the same", ("neighbors",), code="neighbors"),
    Case("the seed of everything", (EVERYTHING,), edit=lambda c: c.update(seed=1)),
)  # fmt: skip


def table() -> str:
    """The cases as a Markdown table."""
    lines = ["| what changed | what is made again |", "|---|---|"]
    for case in CASES:
        counts = case.cells()
        if set(AFTER_TRAINING) <= counts.keys():
            of = "each dictionary" if case.recipes == RECIPES else "that recipe's dictionary"
            counts = {name: n for name, n in counts.items() if name not in AFTER_TRAINING} | {f"{of}, all it feeds": 1}
        made = [name if number == 1 else f"{name} ×{number}" for name, number in counts.items()]
        lines.append(f"| {case.change} | {', '.join(made) or 'nothing'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"Site {SITE}, recipes {' and '.join(RECIPES)}; ×n counts partitions.\n\n{table()}")
