"""Attribution: the features on the way to an answer, checked by ablation; and what a clamped feature does."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import dagster as dg
import polars as pl

from assets.features import tables_made
from assets.neighbors import site_tables_made, stacked
from orchestration.asset import made, source
from orchestration.chains import paired, sited, sites_in_order
from orchestration.checks import at_most
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Pinned
from orchestration.resources import Atlas, Stage
from sae.config import load_workspace

EDGE_TARGETS = 20
"""Features of the later site, strongest by attribution, whose sources are looked for."""
ADDS_UP = 1e-3
"""Largest share by which attributions, bias and error may miss the first-order change."""


@dg.definitions
def attribution_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=attribution_assets(Keys(load_workspace().config)))


def attribution_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`attributions`, `steering` and `attribution_edges`, and the sources that they watch."""

    @made(
        keys,
        "attributions",
        group="attribution",
        loads=["dictionary"],
        after=["prompts_config"],
        kinds={"pytorch"},
        pool="gpu",
        code_version="2",
    )
    def attributions(
        context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage, dictionary: Pinned
    ) -> dg.MaterializeResult:
        """The configured questions of the dictionary's model: each answer's features by attribution and by ablation."""
        from sae.causal.tables import explain_prompt

        if kept := stage.kept():
            return kept
        model = dictionary.facts["model"]["name"]
        asked = [prompt for prompt in atlas.config.prompts if prompt.model == model]
        subject = dictionary.subject()
        found = [
            explain_prompt(
                subject,
                dictionary.manifest.hookpoint,
                dictionary.dictionary,
                dictionary.dictionary_id,
                prompt,
                run_id=context.run_id,
                seed=atlas.seed,
                massive_norm=dictionary.massive_norm,
            )
            for prompt in asked
        ]
        tables = {
            "prompts": stacked([one.prompts for one in found], "prompts"),
            "attribution_runs": stacked([one.attribution_runs for one in found], "attribution_runs"),
            "attributions": stacked([one.attributions for one in found], "attributions"),
            "interventions": stacked([one.interventions for one in found], "interventions"),
        }
        return tables_made(
            stage,
            dictionary,
            tables,
            leave_out=("run_id",),
            metadata={"answers": dg.MetadataValue.md(_answers(tables["prompts"]))},
            checks=[at_most("attribution_adds_up", max((one.miss for one in found), default=0.0), ADDS_UP)],
        )

    @made(
        keys,
        "steering",
        group="attribution",
        loads=["dictionary", "features", "evaluation"],
        after=["steering_config", "prompts_config"],
        kinds={"pytorch"},
        pool="gpu",
        code_version="2",
    )
    def steering(
        context: dg.AssetExecutionContext,
        atlas: Atlas,
        stage: Stage,
        dictionary: Pinned,
        features: dict[str, pl.DataFrame],
        evaluation: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """What features do when they are held: completions of the steering prompts, and the questions' answers."""
        from sae.causal.steering import Clamp
        from sae.causal.steering_tables import steer_prompts
        from sae.evaluation.steered import steered_features

        if kept := stage.kept():
            return kept
        config = atlas.config.steering
        known = (features["features"], evaluation["concept_scores"], evaluation["concepts"])
        sets = steered_features(config, dictionary.dictionary_id, *known)
        maxima = dict(features["features"].select("index", "max_activation").iter_rows())
        steered = steer_prompts(
            dictionary.subject(),
            dictionary.manifest.hookpoint,
            dictionary.dictionary,
            dictionary.dictionary_id,
            config.texts(dictionary.facts["model"]["name"]),
            [[Clamp(index, strength, maxima[index]) for index in one] for one in sets for strength in config.strengths],
            config.new_tokens,
            seed=atlas.seed,
            massive_norm=dictionary.massive_norm,
        )
        answered = changed_answers(atlas, dictionary, sets, maxima, known)
        interventions = stacked([steered.interventions, *answered], "interventions")
        tables = {"prompts": steered.prompts, "steering": steered.steering, "interventions": interventions}
        return tables_made(stage, dictionary, tables)

    @made(
        keys,
        "attribution_edges",
        group="attribution",
        after=["dictionary", "attributions"],
        kinds={"pytorch"},
        pool="gpu",
        code_version="2",
    )
    def attribution_edges(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """Which features of an earlier site act on the features that an answer is attributed to at a later one.

        Between neighbouring sites of one model, of the same recipe where both have it; a model that is read at one
        site has no edges.
        """
        if kept := stage.kept():
            return kept
        frames = [
            prompt_edges(atlas, *cells)
            for model in atlas.config.models
            for early, late in pairwise(model_sites(atlas, model))
            for cells in paired(atlas.config, early, late)
        ]
        return site_tables_made(stage, {"attribution_edges": stacked(frames, "attribution_edges")})

    return [
        source(keys, "prompts_config", group="attribution", description="The questions kept fresh."),
        source(keys, "steering_config", group="attribution", description="What is steered, how strongly, on what."),
        attributions,
        steering,
        attribution_edges,
    ]


def changed_answers(
    atlas: Atlas,
    dictionary: Pinned,
    sets: Sequence[tuple[int, ...]],
    maxima: Mapping[int, float],
    known: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
) -> list[pl.DataFrame]:
    """`interventions` of the questions of a dictionary's model: the config's swaps, and the sets that it steers."""
    from sae.causal.interventions import intervene
    from sae.causal.tables import read_config_prompt
    from sae.evaluation.planned import planned_steering, planned_swap
    from sae.evaluation.steered import named_features

    frames = []
    steered = planned_steering(sets, atlas.config.steering.strengths, maxima)
    for prompt in atlas.config.prompts:
        if prompt.model != dictionary.facts["model"]["name"]:
            continue
        swaps = []
        for swap in (swap for swap in atlas.config.swaps if swap.prompt == prompt.id):
            out, put = (
                named_features("swaps", side, dictionary.dictionary_id, *known) for side in (swap.out, swap.put)
            )
            if out is not None and put is not None:
                swaps.append((swap, out, put))
        read = read_config_prompt(dictionary.subject(), dictionary.manifest.hookpoint, prompt)
        swapped = [
            planned_swap(read, dictionary.dictionary, out, put, swap.strength, swap.at, maxima)
            for swap, out, put in swaps
        ]
        frames.append(
            intervene(
                read,
                prompt.id,
                dictionary.dictionary,
                dictionary.dictionary_id,
                [*swapped, *steered],
                atlas.seed,
                dictionary.massive_norm,
            )
        )
    return frames


def model_sites(atlas: Atlas, model: str) -> list[str]:
    """The sites of a model in its order; none where there is only one, and the model need not be opened."""
    if sum(site.model == model for site in atlas.config.sites) < 2:
        return []
    return sites_in_order(atlas.config, model, atlas.subject(model))


def prompt_edges(atlas: Atlas, early: str, late: str) -> pl.DataFrame:
    """`attribution_edges` of the configured prompts between two dictionaries `<site>.<recipe>`; none where one lacks.

    Into the `EDGE_TARGETS` features of the later one of largest |attribution|.
    """
    from sae.causal import edges

    refs = [atlas.ref_or_none(Cell("dictionary", pair)) for pair in (early, late)]
    asked = atlas.ref_or_none(Cell("attributions", late))
    if None in refs or asked is None:
        return stacked([], "attribution_edges")
    pinned = [atlas.opened(ref) for ref in refs if ref]
    source, target = (sited(one) for one in pinned)
    subject = pinned[1].subject()
    rows = atlas.table(asked.cell, "attributions").sort(pl.col("attribution").abs(), descending=True)
    frames = []
    for prompt in atlas.table(asked.cell, "prompts").to_dicts():
        targets = rows.filter(prompt_id=prompt["prompt_id"]).select("position", "index").head(EDGE_TARGETS).rows()
        encoded = subject.codec.encode(prompt["text"])
        frames.append(edges.attribution_edges(subject, source, target, encoded, prompt["prompt_id"], targets))
    return stacked(frames, "attribution_edges")


def _answers(prompts: pl.DataFrame) -> str:
    verdict = {True: "right", False: "wrong"}
    rows = [
        f"| {row['text']} | {row['predicted']} | {verdict[row['is_correct']]} | {row['logit_diff']:.2f} |"
        for row in prompts.to_dicts()
    ]
    return "\n".join(["| prompt | answer | | logit difference |", "|---|---|---|---|", *rows])
