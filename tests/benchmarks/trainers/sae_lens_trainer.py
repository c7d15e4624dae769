"""SAELens: `SAETrainer.step`, which is its whole step, on each of its training dictionaries."""

from importlib import import_module
from itertools import accumulate
from typing import Any

from protocol import Task, Trainer, read_task, run
from torch import Tensor

_library: Any = import_module("sae_lens")
_config: Any = import_module("sae_lens.config")
_training: Any = import_module("sae_lens.training.sae_trainer")
_CLASSES: dict[str, tuple[Any, Any]] = {
    "topk": (_library.TopKTrainingSAE, _library.TopKTrainingSAEConfig),
    "auxk": (_library.TopKTrainingSAE, _library.TopKTrainingSAEConfig),
    "batchtopk": (_library.BatchTopKTrainingSAE, _library.BatchTopKTrainingSAEConfig),
    "matryoshka": (_library.MatryoshkaBatchTopKTrainingSAE, _library.MatryoshkaBatchTopKTrainingSAEConfig),
    "jumprelu": (_library.JumpReLUTrainingSAE, _library.JumpReLUTrainingSAEConfig),
    "gated": (_library.GatedTrainingSAE, _library.GatedTrainingSAEConfig),
    "standard": (_library.StandardTrainingSAE, _library.StandardTrainingSAEConfig),
}
_WARMUP_STEPS = 1000
"""As the other peers ship it, at most a fiftieth of the run; here it is off as shipped."""


def make(task: Task, mean: Tensor, d: int) -> Trainer:
    """Coefficients, AuxK and dead window as shipped; warm-up and decay over the last fifth, off as shipped, are on."""
    sae_class, config_class = _CLASSES[task.variant]
    sae = sae_class(config_class(d_in=d, d_sae=task.d_sae, **_options(task)))
    config = _config.SAETrainerConfig(
        total_training_samples=task.steps * task.batch,
        train_batch_size_samples=task.batch,
        lr=task.learning_rate,
        lr_end=task.learning_rate / 10,
        lr_warm_up_steps=min(_WARMUP_STEPS, task.steps // 50),
        lr_decay_steps=task.steps // 5,
        device="cpu",
        autocast=task.autocast,
    )
    trainer = _training.SAETrainer(config, sae, iter(()))
    dead = round(task.dead * task.d_sae)
    if dead:
        sae.b_enc.data[:dead] = -1000.0
        trainer.n_forward_passes_since_fired[:dead] = 10 * config.dead_feature_window

    def step(x: Tensor) -> None:
        trainer.maybe_reset_sparsity()
        trainer.step(x)
        trainer.n_training_steps += 1

    def reconstruct(x: Tensor) -> tuple[Tensor, Tensor]:
        inference = _inference(sae)
        codes = inference.encode(x)
        return inference.decode(codes), codes

    return Trainer(step, reconstruct)


def _options(task: Task) -> dict[str, Any]:
    if task.variant == "matryoshka":
        return {"k": task.k, "matryoshka_widths": list(accumulate(task.groups))}
    return {"k": task.k} if task.variant in ("topk", "auxk", "batchtopk") else {}


def _inference(sae: Any) -> Any:
    """The dictionary that `save_inference_model` would write: decoder norms folded in, batch top-k as a threshold."""
    state = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    sae.process_state_dict_for_saving_inference(state)
    inference = _library.SAE.from_dict(sae.cfg.get_inference_sae_cfg_dict())
    inference.load_state_dict(state)
    return inference


if __name__ == "__main__":
    run(read_task(), make)
