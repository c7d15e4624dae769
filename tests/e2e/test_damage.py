"""Damaged files: named, set aside and made again by the run that meets them."""

from pathlib import Path

import pytest
from tiny_pipeline import SITE, write_config

from orchestration.partitions import Cell
from orchestration.refs import write_ref
from orchestration.runner import open_session, refresh
from sae.config import load_workspace

SHARD = f"world-00000|{SITE}"


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_a_damaged_activation_shard_is_made_again_by_the_run_that_opens_it(place, command):
    before = place.ref("activations", SHARD)
    path = place.store.local(before.files["tensors"].path)
    flip_a_byte(path)
    write_config(place.folder, lambda config: config["dictionaries"]["small"].update(k=3))

    ran = command("run")

    assert ran.code == 0, ran.err
    assert f"{before.files['tensors'].path} is damaged: set aside, and made again" in ran.err + ran.out
    assert f"activations [{SHARD}]" in ran.err + ran.out
    assert place.store.verify(place.ref("activations", SHARD).files["tensors"])
    assert path.with_name(f"{path.name}.damaged").exists()
    assert place.ref("dictionary_candidate", f"{SITE}.small").facts["recipe_config"]["k"] == 3


def test_a_truncated_file_is_made_again_by_the_next_run(place, command):
    ref = place.ref("activations", SHARD)
    path = place.store.local(ref.files["tensors"].path)
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{ref.files['tensors'].path} is damaged" in command("status").out

    ran = command("run")

    assert ran.code == 0
    assert place.store.verify(ref.files["tensors"])
    assert "Traceback" not in ran.err


def test_a_damaged_corpus_shard_is_made_again_when_it_is_read(place, command):
    file = place.ref("corpus", "world-00001").files["documents"]
    flip_a_byte(place.store.local(file.path))
    write_config(place.folder, lambda config: config["sites"][0].update(batch_tokens=2048))

    ran = command("run")

    assert ran.code == 0, ran.err
    assert f"{file.path} is damaged: set aside, and made again" in ran.err + ran.out
    assert place.store.verify(file)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"PAR1"), flip_a_byte])
def test_a_map_that_is_lost_or_damaged_is_drawn_again(harm, place, command):
    ref = place.ref("feature_map", f"{SITE}.small")
    file = ref.files["feature_map"]
    whole = place.store.local(file.path).read_bytes()
    harm(place.store.local(file.path))
    write_config(place.folder, lambda config: config.update(labeler={"provider": "lexical", "seed": 1}))

    ran = command("run")

    assert ran.code == 0, ran.err
    after = place.ref("feature_map", f"{SITE}.small").files["feature_map"]
    assert place.store.verify(after).read_bytes() == whole


def test_a_dictionary_whose_files_were_renewed_is_accepted_anew_where_a_kill_came_between(place, command):
    gate = place.ref("dictionary", f"{SITE}.small")
    refresh(open_session(load_workspace(place.config)), trigger="test", force=True, select=of_small_candidate)
    write_ref(place.store, gate)  # as it stood before the candidate was made again, to the same weights

    assert "its candidate was made again, to the same weights" in command("status").out
    assert command("run").code == 0
    assert command("activate", "Fact", "--dictionary", "small").code == 0


def of_small_candidate(cell: Cell) -> bool:
    return cell == Cell("dictionary_candidate", f"{SITE}.small")
