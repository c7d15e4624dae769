"""The one entry point of Dagster's tools: every asset, resource, job, sensor and schedule of the config in force."""

import warnings
from pathlib import Path

import dagster as dg
from dagster import BetaWarning

import assets
from orchestration.automation import automation
from orchestration.io_managers import resources
from orchestration.resources import Atlas


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions for `$ATLAS_CONFIG`, or for ./atlas.yaml."""
    made = dg.load_from_defs_folder(path_within_project=Path(assets.__file__).parent)
    return dg.Definitions.merge(
        dg.Definitions(assets=_with_code(made)),
        automation(),
        dg.Definitions(resources=resources(Atlas()), executor=dg.in_process_executor),
    )


def _with_code(made: dg.Definitions) -> list[dg.AssetsDefinition]:
    """The assets with links to where their code stands; Dagster says of these on every start that they are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        return list(dg.with_source_code_references(list(made.assets or [])))  # type: ignore[arg-type]
