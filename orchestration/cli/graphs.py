"""The way to an answer from the catalog, and as a file."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sae.catalog import open_catalog
from sae.config import Workspace
from sae.errors import AtlasError, ConfigError
from sae.storage import Store

if TYPE_CHECKING:
    from sae.causal.graph import Graph

_FORMATS = (".json", ".svg")


def checked_graph_path(path: Path | None) -> None:
    """Raises ConfigError where a graph cannot be written to a path."""
    if path is None:
        return
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"--graph {path}: a graph is written as {' or '.join(_FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--graph {path}: there is no folder {path.absolute().parent}.")


def write_graph(graph: "Graph", path: Path) -> None:
    """Write a graph as the path's ending says, whole or not at all."""
    from sae.causal.graph_svg import graph_svg

    if path.suffix.lower() == ".svg":
        text = graph_svg(graph)
    else:
        text = json.dumps(graph.to_json(), indent=1, ensure_ascii=False)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise AtlasError(f"--graph {path} could not be written: {error.strerror}.") from error


def stored_answer(
    workspace: Workspace, prompt_id: str, dictionary: str, top: int, version: str | None = None
) -> "tuple[dict[str, Any], Graph]":
    """A question of the catalog as `atlas attribute` prints it, and its graph.

    Without a dictionary through the config's first that answered it.

    Raises AtlasError where the catalog has no such question, or not through that dictionary.
    """
    from sae.causal.stored_graph import stored_graph

    with open_catalog(Store(workspace.store), version) as catalog:
        runs = catalog.sql(
            "select p.text, p.target, p.baseline, p.predicted, p.is_correct, r.* exclude (prompt_id, prompt_sha256, "
            "n_features, run_id), d.recipe, d.site || '.' || d.recipe as pair from attribution_runs r "
            "join dictionaries d using (dictionary_id) join prompts p "
            "on p.prompt_id = r.prompt_id and p.model_id = d.model_id where r.prompt_id = ? order by pair",
            [prompt_id],
        ).to_dicts()
        order = {pair: place for place, pair in enumerate(workspace.config.pairs())}
        runs.sort(key=lambda run: order.get(run["pair"], len(order)))
        chosen = [run for run in runs if dictionary in ("", run["dictionary_id"], run["pair"], run["recipe"])]
        if not chosen:
            known = catalog.sql("select distinct prompt_id from attribution_runs order by 1")["prompt_id"].to_list()
            if runs:
                there = ", ".join(run["pair"] for run in runs)
                raise AtlasError(f"{prompt_id!r} is not answered through {dictionary!r}. It is through: {there}.")
            raise AtlasError(f"The catalog has no question {prompt_id!r}. It has: {', '.join(known) or 'none'}.")
        answer = chosen[0]
        answer["features"] = catalog.sql(
            "select a.rank, a.position, a.token, a.feature_id, a.activation, a.attribution, a.ablation_effect, "
            "a.control_effect, l.label from attributions a left join current_labels l using (feature_id) "
            "where a.prompt_id = ? and a.dictionary_id = ? order by abs(a.attribution) desc limit ?",
            [prompt_id, answer["dictionary_id"], top],
        ).to_dicts()
        return answer, stored_graph(catalog, prompt_id, answer["dictionary_id"])
