"""The concept list that a config names."""

from sae.config import Workspace
from sae.config.concept_list import ListedConcept, read_concept_list
from sae.models.packages import PACKAGE, find_package_file


def configured_concepts(workspace: Workspace) -> tuple[ListedConcept, ...]:
    """The concepts of `concepts: FILE`; none where the config names no file. Raises ConfigError on a wrong one."""
    name = workspace.config.concepts
    if name is None:
        return ()
    packaged = name.startswith(PACKAGE)
    return read_concept_list(find_package_file(name) if packaged else workspace.path.parent / name).concepts
