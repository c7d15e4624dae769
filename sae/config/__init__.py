"""`atlas.yaml`: one file says everything that is made. Unknown keys are refused, units stand in the field's text."""

from sae.config.atlas import (
    AtlasConfig,
    CheckConfig,
    PromptConfig,
    ScheduleConfig,
    SteeringConfig,
    SteeringPromptConfig,
    SwapConfig,
)
from sae.config.imported import FORMATS, Format, ImportConfig, NeuronsConfig
from sae.config.inputs import CorpusConfig, ModelConfig, SiteConfig
from sae.config.labeling import LabelerConfig, PriceConfig
from sae.config.openlineage import OpenLineageConfig
from sae.config.operations import AlertConfig, EmailConfig, RetentionConfig
from sae.config.recipe import RecipeConfig
from sae.config.section import Name
from sae.config.workspace import CONFIG_VARIABLE, SERVICE_FILE, Workspace, load_workspace, parse_config

__all__ = [
    "CONFIG_VARIABLE",
    "FORMATS",
    "SERVICE_FILE",
    "AlertConfig",
    "AtlasConfig",
    "CheckConfig",
    "CorpusConfig",
    "EmailConfig",
    "Format",
    "ImportConfig",
    "LabelerConfig",
    "ModelConfig",
    "Name",
    "NeuronsConfig",
    "OpenLineageConfig",
    "PriceConfig",
    "PromptConfig",
    "RecipeConfig",
    "RetentionConfig",
    "ScheduleConfig",
    "SiteConfig",
    "SteeringConfig",
    "SteeringPromptConfig",
    "SwapConfig",
    "Workspace",
    "load_workspace",
    "parse_config",
]
