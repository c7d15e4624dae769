"""Baselines: small dictionaries trained again from time to time from what they pin, to catch drift in code or data."""

import shutil

import dagster as dg

from orchestration.asset import made, source
from orchestration.checks import at_least, at_most
from orchestration.parents import open_parent
from orchestration.partitions import Cell, Keys
from orchestration.pinned import Basis, device_of
from orchestration.resources import Atlas, Stage
from sae.config import RecipeConfig, load_workspace
from sae.identity import content_id

DRIFT = 0.01
"""The most by which a measure of a dictionary trained again may differ: float noise between machines is far below."""


@dg.definitions
def baselines_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=baselines_assets(Keys(load_workspace().config)))


def baselines_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`baseline` and the clock that it watches."""

    @made(
        keys,
        "baseline",
        group="dictionaries",
        after=["baseline_clock", "dictionary_candidate"],
        kinds={"pytorch"},
        pool="gpu",
    )
    def baseline(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The same recipe on the same activations as the candidate's, trained with the code of today and compared."""
        from sae.dictionaries.build import Build, build_dictionary
        from sae.dictionaries.checkpoints import Checkpoints

        if kept := stage.kept():
            return kept
        candidate = atlas.ref(Cell("dictionary_candidate", stage.partition))
        basis = Basis(atlas.store, candidate.facts, device_of(atlas.config, candidate.facts))
        folder = atlas.scratch()
        checkpoints = Checkpoints(atlas.store, stage.build_key)
        try:
            build = Build(
                RecipeConfig(**candidate.facts["recipe_config"]),
                folder,
                {},
                checkpoints,
                open_parent(atlas.store, candidate.facts.get("parent")),
                on_step=atlas.progress(f"baseline {stage.partition}", "tokens"),
                warn=context.log.warning,
            )
            held_out = basis.documents("held_out")
            built = build_dictionary(build, basis.manifest, basis.source, basis.subject(), held_out)
        finally:
            shutil.rmtree(folder)
        checkpoints.clear()
        before = candidate.facts["quality"]
        same = built.dictionary_id == candidate.data_version
        facts = {"dictionary_id": None, "trained": built.dictionary_id, "same": same, "quality": built.quality}
        drift = {name: _drift(built.quality[name], before[name]) for name in ("fvu", "loss_recovered")}
        return stage.made(
            None,
            content_id(facts),
            facts=facts,
            metadata={"candidate": candidate.data_version, "trained": built.dictionary_id, **built.quality},
            checks=[
                at_least("baseline_same", int(same), 1),
                at_most("baseline_fvu", drift["fvu"], DRIFT),
                at_most("baseline_loss_recovered", drift["loss_recovered"], DRIFT),
            ],
        )

    return [
        source(keys, "baseline_clock", group="dictionaries", description="Which period of `baselines` it is."),
        baseline,
    ]


def _drift(now: float | None, before: float | None) -> float:
    """What neither could measure has not moved."""
    if now is None or before is None:
        return 0.0 if now is before else float("inf")
    return abs(now - before)
