import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hand_made import make_shard

import sae
from sae.activations.reader import ShuffledReader
from sae.config import RecipeConfig
from sae.dictionaries.checkpoints import Checkpoints
from sae.dictionaries.layout import dictionary_id
from sae.dictionaries.resumable import Resumable, train_resumably
from sae.dictionaries.training import TrainedSAE, Training
from sae.errors import AtlasError
from sae.storage import Store

RECIPE = RecipeConfig(
    architecture="topk", latents=24, k=3, batch=32, tokens=32 * 60, dead_after=200, bias_init="geometric_median"
)
STATE = {"a": torch.arange(6.0), "step": torch.tensor(3)}


class _KilledError(Exception):
    """Stands for a kill that lands between two steps."""


def _reader(recipe: RecipeConfig = RECIPE) -> ShuffledReader:
    values = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    return ShuffledReader([lambda: make_shard(values, [0])], recipe.batch, 5, recipe.tokens, buffer_bytes=1)


def _train(
    store: Store,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    recipe: RecipeConfig = RECIPE,
    every: float = 0.0,
    warn: Callable[[str], None] = lambda words: None,
) -> TrainedSAE:
    make = partial(Training, recipe, 8, 1.0, torch.zeros(8), seed=5)
    one = Resumable(make, Checkpoints(store, "key"), every, on_step, warn)
    (trained,) = train_resumably([one], _reader(recipe))
    if isinstance(trained, AtlasError):
        raise trained
    return trained


def _killed_after(steps: int) -> Callable[[int, int], None]:
    def on_step(done: int, total: int) -> None:
        if done >= 32 * steps:
            raise _KilledError

    return on_step


def _files(store: Store) -> list[str]:
    return [name.removeprefix("checkpoints/key/") for name in store.files_in("checkpoints/key")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_training_that_was_left_ends_as_one_that_was_not(store: Store, tmp_path: Path):
    whole = _train(Store(str(tmp_path / "other")))

    for steps in (1, 17, 18, 44):
        with pytest.raises(_KilledError):
            _train(store, _killed_after(steps))
    seen: list[int] = []
    resumed = _train(store, lambda done, total: seen.append(done))

    assert seen[0] == 32 * 45
    assert dictionary_id(resumed.dictionary) == dictionary_id(whole.dictionary)
    assert resumed.history == whole.history


def test_the_last_two_states_are_kept_until_they_are_cleared(store: Store):
    with pytest.raises(_KilledError):
        _train(store, _killed_after(9))

    names = [f"{step:010d}.{kind}" for step in (8, 9) for kind in ("json", "safetensors")]
    assert _files(store) == names
    Checkpoints(store, "key").clear()
    assert _files(store) == []


def test_no_state_is_saved_before_its_time(store: Store):
    _train(store, every=3600.0)

    assert _files(store) == []


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("where", [5, -1])
def test_a_damaged_state_is_named_and_the_one_before_it_used(kind: str, where: int, store: Store):
    checkpoints = Checkpoints(store, "key")
    checkpoints.save(STATE, 3)
    checkpoints.save(STATE | {"step": torch.tensor(4)}, 4)
    path = store.local(f"checkpoints/key/0000000004.{kind}")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(bytes(data))
    said: list[str] = []

    state = checkpoints.latest(said.append)

    assert state is not None
    assert int(state["step"]) == 3
    assert len(said) == 1
    assert "checkpoints/key/0000000004 is damaged" in said[0]
    assert _files(store) == ["0000000003.json", "0000000003.safetensors"]


def test_with_every_state_damaged_training_starts_afresh_and_says_so(store: Store):
    Checkpoints(store, "key").save(STATE, 3)
    store.write_bytes("checkpoints/key/0000000003.safetensors", b"")
    said: list[str] = []

    _train(store, warn=said.append)

    assert len(said) == 1


def test_a_state_without_its_description_does_not_count(store: Store):
    checkpoints = Checkpoints(store, "key")
    checkpoints.save(STATE, 3)
    store.write_bytes("checkpoints/key/0000000009.safetensors", b"half")
    said: list[str] = []

    state = checkpoints.latest(said.append)

    assert state is not None
    assert int(state["step"]) == 3
    assert said == []


def test_another_training_does_not_find_the_states(store: Store):
    Checkpoints(store, "key").save(STATE, 3)

    assert Checkpoints(store, "other").latest(pytest.fail) is None


def test_a_full_disk_stops_in_words_and_the_next_start_goes_on(store: Store, monkeypatch, tmp_path: Path):
    whole = _train(Store(str(tmp_path / "other")))
    with pytest.raises(_KilledError):
        _train(store, _killed_after(10))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(AtlasError, match="No space left"):
            _train(store)

    assert _files(store)[-1] == "0000000010.safetensors"
    assert dictionary_id(_train(store).dictionary) == dictionary_id(whole.dictionary)


def test_a_diverging_training_names_the_step_and_keeps_the_last_good_state(store: Store):
    wild = RECIPE.model_copy(update={"learning_rate": 1e30, "warmup": 0.5})

    with pytest.raises(AtlasError, match=r"stopped at step (\d+) of 60.*lower learning_rate.*after step \d+ is kept"):
        _train(store, recipe=wild)

    state = Checkpoints(store, "key").latest(pytest.fail)
    assert state is not None
    assert all(bool(tensor.isfinite().all()) for name, tensor in state.items() if name.startswith("sae."))


def test_killed_at_any_moment_a_training_ends_with_the_same_weights(tmp_path: Path):
    """SIGKILL in the middle of a step, between the system calls that write a checkpoint, and at steps by chance."""
    paths = [Path(sae.__file__).parents[1], Path(__file__).parents[2]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("killed_trainings.py")), str(tmp_path)]

    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=200)

    assert ran.returncode == 0, ran.stderr
    *ends, resumed, whole = ran.stdout.split()
    assert ends == [str(-signal.SIGKILL)] * 8 + ["0", "0"]
    assert resumed == whole
