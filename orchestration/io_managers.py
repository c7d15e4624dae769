"""One IO manager for each kind of value. Bodies hand over values; files, hashes and refs are made here.

Every file is written under a name that holds its content's id, so that it never changes; the ref moves last.
"""

import shutil
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl

from orchestration.document_files import read_documents, write_documents
from orchestration.partitions import Cell
from orchestration.pinned import Pinned, open_subject
from orchestration.refs import Ref, read_ref, write_ref
from orchestration.resources import Artifact, Atlas
from sae.storage import Store, StoredFile
from sae.table_files import read_table

if TYPE_CHECKING:
    from sae.activations.shard import ActivationShard
    from sae.models.subject import Subject

STORED_BY: dict[str, str] = {
    "corpus": "documents",
    "subject_model": "model",
    "hookpoints": "record",
    "activations": "activations",
    "activation_set": "record",
    "dictionary_candidate": "dictionary",
    "baseline": "record",
    "dictionary": "dictionary",
    "features": "tables",
    "examples": "tables",
    "labels": "tables",
    "label_scores": "tables",
    "neighbors": "tables",
    "feature_map": "tables",
    "logit_weights": "tables",
    "attributions": "tables",
    "steering": "tables",
    "evaluation": "tables",
    "neuron_checks": "tables",
    "cross_neighbors": "tables",
    "feature_matches": "tables",
    "attribution_edges": "tables",
    "catalog_candidate": "record",
    "catalog": "record",
}
"""The IO manager of each asset, by the name that it has among the `resources`."""


class ArtifactIOManager(dg.ConfigurableIOManager):
    """Writes an artifact's files, then its ref; reads the value that a ref stands for."""

    atlas: dg.ResourceDependency[Atlas]

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Dagster's way to `keep`, with one value a step; the platform's steps keep each cell's as it is made."""
        self.keep(obj)

    def keep(self, artifact: Artifact) -> Ref:
        """Store a value and make its ref, which is returned, current."""
        if artifact.kept:
            return artifact.ref
        store = self.atlas.store
        ref = replace(artifact.ref, files=dict(self.write(store, artifact.ref, artifact.value)))
        write_ref(store, ref)
        return ref

    def load_input(self, context: dg.InputContext) -> Any:
        """The value of one upstream cell, for an asset of somebody's own that follows one of the platform's."""
        asset = context.asset_key.to_user_string()
        return self.load(Cell(asset, str(context.asset_partition_key) if context.has_asset_partitions else None))

    def load(self, cell: Cell) -> Any:
        """The value of a cell. Raises AtlasError where it was never made."""
        return self.read(self.atlas.store, self.atlas.ref(cell))

    @abstractmethod
    def write(self, store: Store, ref: Ref, value: Any) -> Mapping[str, StoredFile]:
        """Write the files of a value; returns them by role."""

    @abstractmethod
    def read(self, store: Store, ref: Ref) -> Any:
        """The value that a ref stands for."""


class DocumentsIOManager(ArtifactIOManager):
    """A corpus shard: documents as Parquet, pictures as PNG files beside them."""

    def write(self, store: Store, ref: Ref, value: pl.DataFrame) -> Mapping[str, StoredFile]:
        """`corpora/<corpus>/<shard>-<id>.parquet` and `corpora/<corpus>/images/<id>.png`."""
        folder = f"corpora/{str(ref.partition).rsplit('-', 1)[0]}"
        return {"documents": write_documents(store, folder, f"{ref.partition}-{ref.data_version}", value)}

    def read(self, store: Store, ref: Ref) -> pl.DataFrame:
        """The documents, with their pictures' bytes."""
        return read_documents(store, ref.files["documents"])


class ModelIOManager(ArtifactIOManager):
    """A subject model: the value written is the local folder that holds it, the value read is the loaded model."""

    def write(self, store: Store, ref: Ref, value: Path) -> Mapping[str, StoredFile]:
        """`models/<model_id>/`; the local folder is used up."""
        return move_folder(store, value, f"models/{ref.data_version}")

    def read(self, store: Store, ref: Ref) -> "Subject":
        """The model, ready to run where the config says."""
        name = str(ref.partition)
        config, folder = self.atlas.config.models[name], f"models/{ref.data_version}"
        return open_subject(store, folder, name, tuple(ref.files), config.device, config.attention)


class RecordIOManager(ArtifactIOManager):
    """A small value that is all in the ref's facts: nothing is written beside the ref."""

    def write(self, store: Store, ref: Ref, value: None) -> Mapping[str, StoredFile]:
        """No file but those that the body left in the store itself."""
        return ref.files

    def read(self, store: Store, ref: Ref) -> Ref:
        """The ref itself."""
        return ref


class ActivationsIOManager(ArtifactIOManager):
    """The activations of one shard at one site."""

    def write(self, store: Store, ref: Ref, value: "ActivationShard | pl.DataFrame") -> Mapping[str, StoredFile]:
        """`activations/<site>/<shard>-<id>.safetensors` and, row by row beside it, the tokens as Parquet.

        A streamed site hands over the tokens alone.
        """
        from sae.activations.shard import save_shard

        shard, site = str(ref.partition).split("|")
        stem = f"activations/{site}/{shard}-{ref.data_version}"
        if isinstance(value, pl.DataFrame):
            return {"tokens": write_frame(store, f"{stem}.parquet", value)}
        with store.writing(f"{stem}.safetensors") as tensors, store.writing(f"{stem}.parquet") as tokens:
            save_shard(value, tensors, tokens)
        return {"tensors": store.describe(f"{stem}.safetensors"), "tokens": store.describe(f"{stem}.parquet")}

    def read(self, store: Store, ref: Ref) -> Ref:
        """The ref: what follows reads the files through the site's manifest."""
        return ref


class DictionaryIOManager(ArtifactIOManager):
    """A dictionary's folder; the value read is the dictionary with all that it pins."""

    def keep(self, artifact: Artifact) -> Ref:
        """Store the dictionary, make its ref current, and only then let its training's checkpoints go."""
        from sae.dictionaries.checkpoints import Checkpoints

        ref = super().keep(artifact)
        if artifact.value is not None:
            self._renew_gate(ref)
        Checkpoints(self.atlas.store, ref.facts["build_key"]).clear()
        return ref

    def _renew_gate(self, candidate: Ref) -> None:
        """Where the gate holds the dictionary that was just made again: its folder tells of the new training now."""
        store = self.atlas.store
        current = read_ref(store, Cell("dictionary", candidate.partition))
        if current and current.data_version == candidate.data_version:
            write_ref(store, replace(current, files=candidate.files))

    def write(self, store: Store, ref: Ref, value: Path | None) -> Mapping[str, StoredFile]:
        """`dictionaries/<dictionary_id>/` from a local folder, which is used up; the gate's refs add no file."""
        if value is None:
            return ref.files
        return move_folder(store, value, f"dictionaries/{ref.data_version}")

    def read(self, store: Store, ref: Ref) -> Pinned:
        """The dictionary and what it was made from."""
        return self.atlas.opened(ref)


class TablesIOManager(ArtifactIOManager):
    """Tables of one dictionary (or site): Parquet files sorted by feature."""

    def write(self, store: Store, ref: Ref, value: Mapping[str, pl.DataFrame]) -> Mapping[str, StoredFile]:
        """`tables/<table>/<owner>-<id>.parquet`; the owner is the dictionary's id, or the site."""
        owner = ref.facts.get("dictionary_id", ref.partition or "all")
        return {
            table: write_frame(store, f"tables/{table}/{owner}-{ref.data_version}.parquet", frame)
            for table, frame in value.items()
        }

    def read(self, store: Store, ref: Ref) -> dict[str, pl.DataFrame]:
        """The tables by name."""
        return {table: read_table(store.verify(file)) for table, file in ref.files.items()}


def move_folder(store: Store, source: Path, folder: str) -> dict[str, StoredFile]:
    """Move the files of a local folder into one of the store; the local one is gone afterwards, come what may."""
    files: dict[str, StoredFile] = {}
    try:
        for file in sorted(source.iterdir()):
            path = f"{folder}/{file.name}"
            with store.writing(path) as temporary:
                shutil.move(file, temporary)
            files[file.name] = store.describe(path)
    finally:
        shutil.rmtree(source)
    return files


def write_frame(store: Store, path: str, frame: pl.DataFrame) -> StoredFile:
    """Write a table as Parquet, in row groups small enough that one feature's rows are found without a whole read."""
    with store.writing(path) as temporary:
        frame.write_parquet(temporary, compression="zstd", row_group_size=20_000)
    return store.describe(path)


def resources(atlas: Atlas) -> dict[str, object]:
    """The resources of a run: the workspace and an IO manager for each kind of value."""
    return {
        "atlas": atlas,
        "documents": DocumentsIOManager(atlas=atlas),
        "model": ModelIOManager(atlas=atlas),
        "record": RecordIOManager(atlas=atlas),
        "activations": ActivationsIOManager(atlas=atlas),
        "dictionary": DictionaryIOManager(atlas=atlas),
        "tables": TablesIOManager(atlas=atlas),
    }
