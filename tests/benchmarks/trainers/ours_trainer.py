"""This project's trainer, one step at a time."""

from protocol import Task, Trainer, read_task, run
from torch import Tensor

from sae.config import RecipeConfig
from sae.dictionaries.training import Training

_PRECISION = {False: "float32", True: "bfloat16"}
_DECAY = 0.5
"""Each library has a schedule of its own: sparsify decays from the first step, the others over the last fifth."""


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """A `Training` of the task's recipe; AuxK only where the task is about it."""
    matryoshka = task.variant == "matryoshka"
    sparse = task.variant in ("topk", "auxk", "batchtopk", "matryoshka")
    recipe = RecipeConfig(
        architecture="topk" if task.variant == "auxk" else task.variant,  # pyright: ignore[reportArgumentType]
        latents=None if matryoshka else task.d_sae,
        groups=tuple(task.groups) if matryoshka else (),
        k=task.k if sparse else None,
        tokens=task.steps * task.batch,
        batch=task.batch,
        learning_rate=task.learning_rate,
        decay=_DECAY,
        precision=_PRECISION[task.autocast],  # pyright: ignore[reportArgumentType]
        auxk=1 / 32 if task.variant == "auxk" else 0.0,
    )
    training = Training(recipe, d, 1.0, mean, None, seed=0)
    if task.dead:
        _make_dead(training, task, recipe.dead_after)

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        dictionary = training.result().dictionary
        codes = dictionary.encode(x)
        return dictionary.decode(codes), codes

    return Trainer(lambda x: _advance(training, x), reconstruct)


def _advance(training: Training, x: Tensor) -> None:
    training.advance(x)


def _make_dead(training: Training, task: Task, silent_tokens: int) -> None:
    state = training.state_dict()
    count = round(task.dead * task.d_sae)
    state["sae.b_enc"][:count] = -1000.0
    state["silent_tokens"][:count] = 10 * silent_tokens
    training.load_state_dict(state)


if __name__ == "__main__":
    run(read_task(), make)
