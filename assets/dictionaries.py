"""Dictionaries: a candidate is trained and measured, and the gate lets it become current, or not."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.asset import Part, made, made_together, source
from orchestration.checks import missed, quality_checks
from orchestration.moments import utc_now
from orchestration.parents import open_parent, parent_record, training_key
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Basis
from orchestration.predecessors import predecessor
from orchestration.refs import PINNED_FACT, WITHDRAWN, Ref, file_faults
from orchestration.resources import Atlas, Stage
from orchestration.sources import recipe_facts, resolved_recipe
from sae.config import RecipeConfig, load_workspace
from sae.errors import AtlasError

if TYPE_CHECKING:
    from sae.dictionaries.build import BuiltDictionary


@dg.definitions
def dictionaries_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=dictionaries_assets(Keys(load_workspace().config)))


def dictionaries_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`dictionary_candidate`, the gate `dictionary`, and the sources that they watch."""

    @made_together(
        keys,
        Part("dictionary_candidate", kinds={"pytorch", "safetensors"}, code_version="3"),
        group="dictionaries",
        after=["activation_set", "recipe_config"],
        together=lambda pair: keys.config.pairs()[pair][0],
        pool="gpu",
    )
    def dictionary_candidate(
        context: dg.AssetExecutionContext, atlas: Atlas, stages: list[Stage]
    ) -> Iterator[dg.MaterializeResult]:
        """A sparse autoencoder trained on the site's train shards, or imported, and measured on the held-out ones.

        The recipes of a site share a reading of its activations, those of a streamed one the harvest.
        """
        wanted: list[Stage] = []
        for stage in stages:
            if kept := stage.kept():
                yield kept
            else:
                wanted.append(stage)
        failed: dict[str, AtlasError] = {}
        for stage, pinned, built in candidates(context, atlas, wanted):
            pair = stage.partition
            if not isinstance(built, AtlasError) and (twin := twin_of(atlas, stage.cell, built.dictionary_id)):
                shutil.rmtree(built.folder)
                built = AtlasError(f"{pair} is the same dictionary as {twin}. Leave one of the recipes out.")
            if isinstance(built, AtlasError):
                failed[pair] = built
                continue
            yield stage.made(
                built.folder,
                built.dictionary_id,
                facts=pinned
                | built.facts
                | {
                    "dictionary_id": built.dictionary_id,
                    "quality": built.quality,
                    "loss_groups": [asdict(group) for group in built.loss_groups],
                },
                metadata={**built.facts, **built.quality}
                | ({"training": dg.MetadataValue.md(built.curve)} if built.history else {}),
                checks=quality_checks(built.quality, atlas.config.checks),
            )
        if len(failed) == 1:
            raise next(iter(failed.values()))
        if failed:
            raise AtlasError("; ".join(f"{pair}: {error}" for pair, error in failed.items()))

    @made(
        keys,
        "dictionary",
        group="dictionaries",
        after=["dictionary_candidate", "checks_config"],
        kinds={"gate"},
    )
    def dictionary(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult | None:
        """The gate: the last candidate that passed every check. It gives nothing while there is none."""
        candidate = atlas.ref(Cell("dictionary_candidate", stage.partition))
        previous = atlas.ref_or_none(stage.cell)
        faults = missed(candidate.facts["quality"], atlas.config.checks, current_quality(previous, candidate))
        if not faults:
            previous = previous or atlas.ref_or_none(Cell(WITHDRAWN, stage.partition))
            facts = {"accepted": True, "previous": predecessor(atlas.store, previous, candidate)}
            return stage.adopted(candidate, facts)
        rejected = {"candidate": candidate.data_version, "because": faults}
        context.log.warning(f"{candidate.data_version} is kept but not current: {rejected['because']}")
        if previous is None or file_faults(atlas.store, previous):
            return None
        if previous.data_version == candidate.data_version:
            # The same weights, made again: what the accepted one pins stays, its folder tells of the new training.
            previous = replace(previous, files=candidate.files)
        return stage.adopted(previous, {"accepted": False, "rejected": rejected})

    return [
        source(keys, "recipe_config", group="dictionaries", description="A recipe with its seed."),
        source(keys, "checks_config", group="dictionaries", description="The thresholds of the checks."),
        dictionary_candidate,
        dictionary,
    ]


def candidates(
    context: dg.AssetExecutionContext, atlas: Atlas, stages: Sequence[Stage]
) -> "Iterator[tuple[Stage, dict[str, Any], BuiltDictionary | AtlasError]]":
    """Train or import the candidates of some pairs of one site; each with the facts that it pins."""
    from sae.dictionaries.build import Build, build_dictionaries
    from sae.dictionaries.checkpoints import Checkpoints
    from sae.dictionaries.imported import import_dictionary

    if not stages:
        return
    pairs, base = atlas.config.pairs(), atlas.workspace.path.parent
    site = pairs[stages[0].partition][0]
    activations = atlas.ref(Cell("activation_set", site))
    basis = Basis(atlas.store, activations.facts, atlas.config.models[atlas.config.site(site).model].device)
    given = (basis.manifest, basis.source, basis.subject(), basis.documents("held_out"))
    trained: dict[int, tuple[Stage, dict[str, Any]]] = {}
    builds: list[Build] = []
    for stage in stages:
        pair = stage.partition
        recipe_name = pairs[pair][1]
        recipe = resolved_recipe(atlas.config, recipe_name)
        trains = isinstance(recipe, RecipeConfig)
        parent = parent_record(recipe, atlas.ref_or_none(Cell("dictionary", pair))) if trains else None
        pinned = activations.facts | {
            "site": site,
            "recipe": recipe_name,
            "hookpoint": basis.manifest.hookpoint,
            "recipe_config": recipe_facts(recipe, base),
            "inputs": stage.inputs,
            PINNED_FACT: activations.data_version,
            "parent": parent,
            "build_key": training_key(stage.build_key, parent),
            "code_version": stage.code_version,
            "run_id": context.run_id,
            "created_at": utc_now(),
        }
        folder = atlas.scratch()
        try:
            if not trains:
                yield stage, pinned, import_dictionary(recipe, base, *given, folder, pinned)
                continue
            build = Build(
                recipe,
                folder,
                pinned,
                Checkpoints(atlas.store, pinned["build_key"]),
                open_parent(atlas.store, parent),
                on_step=atlas.progress(f"dictionary {pair}", "tokens"),
                warn=context.log.warning,
            )
        except AtlasError as error:
            shutil.rmtree(folder)
            yield stage, pinned, error
            continue
        trained[id(build)] = stage, pinned
        builds.append(build)
    for build, built in build_dictionaries(builds, *given):
        if isinstance(built, AtlasError):
            shutil.rmtree(build.folder)
        yield *trained[id(build)], built


def twin_of(atlas: Atlas, cell: Cell, dictionary_id: str) -> str | None:
    """The pair whose recipe made the same dictionary, if there is one: its features cannot have two owners."""
    for pair in atlas.config.pairs():
        ref = atlas.ref_or_none(Cell(cell.asset, pair))
        if ref and pair != cell.partition and ref.data_version == dictionary_id:
            return pair
    return None


def current_quality(previous: Ref | None, candidate: Ref) -> dict[str, Any] | None:
    """The quality that a candidate is held against: the current dictionary's, where that is of the same recipe."""
    if previous is None or previous.facts["recipe_config"] != candidate.facts["recipe_config"]:
        return None
    return previous.facts["quality"]
