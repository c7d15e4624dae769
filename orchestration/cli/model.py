"""Commands that run the model: activate, attribute, steer."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestration.cli.query import CATALOG_OPTION, JSON_OPTION
from orchestration.cli.tables import plain, print_rows
from sae.config import load_workspace
from sae.errors import ConfigError
from sae.storage import Store

DICTIONARY_OPTION = typer.Option(
    "--dictionary", help="<site>.<recipe>, the recipe alone or a dictionary's id; the config's first by default."
)

IMAGE_OPTION = typer.Option(help="A picture (PNG, JPEG) in the prompt, at <image> or before the text.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (activate, attribute, steer):
        app.command()(command)


def activate(
    text: Annotated[str, typer.Argument(help="Any text that the model reads.")],
    dictionary: Annotated[str, DICTIONARY_OPTION] = "",
    top: Annotated[int, typer.Option(min=1, help="Features shown for each token.")] = 5,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Run a text through the model and list the features active at each token."""
    from orchestration.answers import activations_of
    from orchestration.questions import labels_of, pinned_dictionary

    workspace = load_workspace()
    labels = labels_of(Store(workspace.store), catalog_version)
    rows = activations_of(pinned_dictionary(workspace, dictionary), labels, text, top)
    print_rows(rows, ("position", "token", "feature_id", "activation", "label"), as_json)


def attribute(
    text: Annotated[str, typer.Argument(help="The prompt; its continuation is explained.")] = "",
    target: Annotated[str, typer.Option(help="The continuation whose logit is explained.")] = "",
    baseline: Annotated[
        str | None, typer.Option(help="The continuation it is compared with; the mean logit by default.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Id of a question in the catalog, in place of a text.")] = "",
    dictionary: Annotated[str, DICTIONARY_OPTION] = "",
    top: Annotated[int, typer.Option(min=1, help="Features listed and checked by ablation.")] = 10,
    graph: Annotated[Path | None, typer.Option(help="Write the way to the answer as .json or .svg.")] = None,
    image: Annotated[Path | None, IMAGE_OPTION] = None,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Explain an answer: the features on its way by attribution, each checked by ablation.

    Of a text and its `--target`, or of a `--prompt` that the catalog holds.
    """
    from orchestration.answers import explanation_of, graph_of
    from orchestration.cli.graphs import checked_graph_path, stored_answer, write_graph
    from orchestration.questions import chain_of, labels_of, pinned_dictionary, with_picture

    if bool(text) == bool(prompt):
        raise ConfigError("Give either a text with its --target, or the --prompt of a question in the catalog.")
    if text and not target:
        raise ConfigError("A text needs a --target: the continuation that is to be explained.")
    if prompt and (target or baseline or image):
        raise ConfigError("A --prompt has its own text and target: leave out --target, --baseline and --image.")
    checked_graph_path(graph)
    workspace = load_workspace()
    if prompt:
        answer, way = stored_answer(workspace, prompt, dictionary, top, catalog_version)
        if graph:
            write_graph(way, graph)
    else:
        pinned, labels = pinned_dictionary(workspace, dictionary), labels_of(Store(workspace.store), catalog_version)
        words, picture = with_picture(text, _bytes_of(image), str(image))
        answer = explanation_of(pinned, labels, words, target, baseline, top, picture)
        if graph:
            write_graph(graph_of(*chain_of(workspace, pinned), labels, words, target, baseline, picture), graph)
    if as_json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    _print_answer(answer, target or answer["target"], baseline or answer.get("baseline"))


def steer(
    words: Annotated[list[str], typer.Argument(metavar="ID… TEXT", help="One or more features' ids, then the prompt.")],
    strength: Annotated[
        list[float], typer.Option(help="Multiple of a feature's maximum: one for all, or one for each feature.")
    ],
    tokens: Annotated[int, typer.Option(min=1, help="Length of the completion.")] = 12,
    image: Annotated[Path | None, IMAGE_OPTION] = None,
    catalog_version: Annotated[str | None, CATALOG_OPTION] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Hold features at multiples of their maxima and let the model go on, beside what it writes by itself."""
    from orchestration.answers import steered_text
    from orchestration.questions import dictionary_of, held_features, labels_of, pinned_dictionary, with_picture

    *ids, text = words
    if not ids:
        raise ConfigError("Give at least one feature's id, <dictionary_id>:<index>, before the text.")
    if len(strength) not in (1, len(ids)):
        raise ConfigError(f"{len(ids)} features want one --strength for all or {len(ids)}, not {len(strength)}.")
    strengths = strength if len(strength) > 1 else strength * len(ids)
    workspace = load_workspace()
    pinned = pinned_dictionary(workspace, dictionary_of(ids))
    held = held_features(pinned, list(zip(ids, strengths, strict=True)))
    words_read, picture = with_picture(text, _bytes_of(image), str(image))
    answer = steered_text(pinned, held, words_read, tokens, picture)
    if as_json:
        print(json.dumps(answer, indent=1, ensure_ascii=False))
        return
    labels = labels_of(Store(workspace.store), catalog_version)
    rows = [{**one, "label": labels.get(one["feature_id"])} for one in answer["features"]]
    print_rows(rows, ("feature_id", "strength", "held_at", "label"), False)
    print_rows(
        [
            {"": "by itself", "continues": answer["unsteered"]},
            {"": "steered", "continues": answer["steered"]},
        ],
        ("", "continues"),
        False,
    )


def _bytes_of(image: Path | None) -> bytes | None:
    if image is None:
        return None
    if not image.is_file():
        raise ConfigError(f"No picture at {image}: name a PNG or JPEG file.")
    return image.read_bytes()


def _print_answer(answer: dict[str, Any], target: str, baseline: str | None) -> None:
    right = "as asked" if answer["is_correct"] else f"asked: {target}"
    against = baseline or "the mean logit"
    share = "" if answer["error_share"] is None else f" ({answer['error_share']:.0%} of what is accounted for)"
    print(plain(f"{answer['text']} → {answer['predicted']} ({right})"))
    print(
        f"logit of {target} minus {against}: {answer['logit_diff']:+.2f}; "
        f"error term {answer['error_attribution']:+.2f}{share}"
    )
    print_rows(
        answer["features"],
        ("rank", "token", "feature_id", "activation", "attribution", "ablation_effect", "control_effect", "label"),
        False,
    )
    spearman, control = answer["ablation_spearman"], answer["control_spearman"]
    if spearman is not None:
        beside = "" if control is None else f"; with random features {control:.2f}"
        print(f"Spearman of attribution and ablation over those ablated: {spearman:.2f}{beside}")
