"""The dictionary that a training goes on from, in place of a start of its own."""

from dataclasses import dataclass

from sae.config import RecipeConfig
from sae.dictionaries.dictionary import Dictionary
from sae.errors import AtlasError


@dataclass(frozen=True, eq=False)
class Parent:
    """A trained dictionary with what must be the same of one that starts from it."""

    dictionary_id: str
    dictionary: Dictionary
    architecture: str
    groups: tuple[int, ...]
    """Matryoshka's."""
    site: str
    model_id: str

    def start_of(self, recipe: RecipeConfig, d_in: int, site: str, model_id: str) -> Dictionary:
        """Its dictionary, as the start of the recipe's training at a site of `d_in` dimensions.

        Raises AtlasError that names what differs: directions in another model's space, or another number of latents,
        are no start.
        """
        given = self.dictionary
        for what, found, wanted in (
            ("site", self.site, site),
            ("model", self.model_id, model_id),
            ("architecture", self.architecture, recipe.architecture),
            ("number of dimensions", given.d_in, d_in),
            ("number of latents", given.d_sae, recipe.d_sae(d_in)),
            ("groups", self.groups, recipe.groups),
        ):
            if found != wanted:
                raise AtlasError(
                    f"{self.dictionary_id} cannot be the start of this training: its {what} is {_said(found)}, not "
                    f"{_said(wanted)}. Set `start: fresh` in the recipe, or change it back."
                )
        return given


def _said(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
