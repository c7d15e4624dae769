"""Dictionaries: a candidate is trained and measured, and the gate lets it become current, or not."""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.asset import made, source
from orchestration.checks import missed, quality_checks
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Basis
from orchestration.refs import Ref, file_faults
from orchestration.resources import Atlas, utc_now
from orchestration.sources import recipe_facts, resolved_recipe
from sae.config import ImportConfig, load_workspace
from sae.errors import AtlasError


@dg.definitions
def dictionaries_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=dictionaries_assets(Keys(load_workspace().config)))


def dictionaries_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`dictionary_candidate`, the gate `dictionary`, and the sources that they watch."""

    @made(
        keys,
        "dictionary_candidate",
        group="dictionaries",
        io="dictionary",
        loads=["activation_set"],
        after=["recipe_config"],
        kinds={"pytorch", "safetensors"},
        pool="gpu",
        code_version="2",
    )
    def dictionary_candidate(
        context: dg.AssetExecutionContext, atlas: Atlas, activation_set: Ref
    ) -> dg.MaterializeResult:
        """A sparse autoencoder trained on the site's train shards, or imported, and measured on the held-out ones."""
        from sae.dictionaries.build import build_dictionary
        from sae.dictionaries.checkpoints import Checkpoints
        from sae.dictionaries.imported import import_dictionary

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        site, recipe_name = atlas.config.pairs()[context.partition_key]
        recipe, base = resolved_recipe(atlas.config, recipe_name), atlas.workspace.path.parent
        basis = Basis(atlas.store, activation_set.facts)
        pinned = activation_set.facts | {
            "site": site,
            "recipe": recipe_name,
            "hookpoint": basis.manifest.hookpoint,
            "recipe_config": recipe_facts(recipe, base),
            "inputs": stage.inputs,
            "build_key": stage.build_key,
            "code_version": stage.code_version,
            "run_id": context.run_id,
            "created_at": utc_now(),
        }
        given = (
            basis.manifest,
            basis.source,
            basis.subject(),
            basis.documents("held_out"),
            Path(tempfile.mkdtemp(prefix="feature-atlas-dictionary-")),
            pinned,
        )
        if isinstance(recipe, ImportConfig):
            built = import_dictionary(recipe, base, *given)
        else:
            built = build_dictionary(
                recipe,
                *given,
                Checkpoints(atlas.store, stage.build_key),
                on_step=atlas.progress(f"dictionary {context.partition_key}", "tokens"),
                warn=context.log.warning,
            )
        if twin := twin_of(atlas, stage.cell, built.dictionary_id):
            shutil.rmtree(built.folder)
            raise AtlasError(f"{context.partition_key} is the same dictionary as {twin}. Leave one of the recipes out.")
        return stage.made(
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

    @made(
        keys,
        "dictionary",
        group="dictionaries",
        io="dictionary",
        after=["dictionary_candidate", "checks_config"],
        kinds={"gate"},
        output_required=False,
    )
    def dictionary(context: dg.AssetExecutionContext, atlas: Atlas) -> Any:
        """The gate: the last candidate that passed every check. It yields nothing while there is none."""
        stage = atlas.stage(context)
        candidate = atlas.ref(Cell("dictionary_candidate", context.partition_key))
        previous = atlas.ref_or_none(stage.cell)
        faults = missed(candidate.facts["quality"], atlas.config.checks, current_quality(previous, candidate))
        if not faults:
            yield stage.adopted(candidate, {"accepted": True, "previous": predecessor(previous, candidate)})
            return
        rejected = {"candidate": candidate.data_version, "because": faults}
        context.log.warning(f"{candidate.data_version} is kept but not current: {rejected['because']}")
        if previous and not file_faults(atlas.store, previous):
            yield stage.adopted(previous, {"accepted": False, "rejected": rejected})

    return [
        source(keys, "recipe_config", group="dictionaries", description="A recipe with its seed."),
        source(keys, "checks_config", group="dictionaries", description="The thresholds of the checks."),
        dictionary_candidate,
        dictionary,
    ]


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


def predecessor(previous: Ref | None, candidate: Ref) -> dict[str, Any] | None:
    """What the gate held before, where it was another dictionary: new features are matched to its."""
    if previous is None or previous.data_version == candidate.data_version:
        return previous.facts.get("previous") if previous else None
    return {"dictionary_id": previous.data_version, "files": sorted(previous.files)}
