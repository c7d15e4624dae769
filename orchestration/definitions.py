"""The one entry point of Dagster's tools: every asset, resource, job, sensor and schedule of the config in force."""

from pathlib import Path

import dagster as dg

import assets
from orchestration.automation import automation
from orchestration.io_managers import resources
from orchestration.resources import Atlas


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions for `$ATLAS_CONFIG`, or for ./atlas.yaml."""
    made = dg.load_from_defs_folder(path_within_project=Path(assets.__file__).parent)
    return dg.Definitions.merge(
        dg.Definitions(assets=made.assets),
        automation(),
        dg.Definitions(resources=resources(Atlas()), executor=dg.in_process_executor),
    )
