"""Models and what they compute: the subject model, its hookpoints, activations and the manifest of a site."""

import tempfile
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import polars as pl

from orchestration.asset import made, source
from orchestration.checks import Check, at_most
from orchestration.partitions import Cell, Keys
from orchestration.refs import Ref
from orchestration.resources import Atlas
from sae.config import load_workspace
from sae.identity import content_id

MASSIVE_SHARE = 0.01
"""Largest share of massive activations that counts as rare."""


@dg.definitions
def activations_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=activations_assets(Keys(load_workspace().config)))


def activations_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`subject_model`, `hookpoints`, `activations`, `activation_set` and the sources that they watch."""

    @made(keys, "subject_model", group="models", io="model", after=["model_source"], kinds={"pytorch"}, pool="gpu")
    def subject_model(context: dg.AssetExecutionContext, atlas: Atlas) -> dg.MaterializeResult:
        """The model that is studied: fetched, converted or (the demo world's) trained here; named by its weights."""
        from sae.models.loading import materialise_model

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        name = context.partition_key
        config = atlas.config.models[name]
        folder = Path(tempfile.mkdtemp(prefix="feature-atlas-model-"))
        tick = atlas.progress(f"subject_model {name}", config.steps, "steps")
        model = materialise_model(config, name, atlas.seed, atlas.workspace.path.parent, folder, tick)
        facts = {
            "model_id": model.model_id,
            "name": name,
            "architecture": model.architecture,
            "n_layers": model.n_layers,
            "d_model": model.d_model,
            "n_parameters": model.n_parameters,
            "vocabulary": model.codec.vocabulary_size,
            "modalities": list(model.modalities),
            "source": config.source,
            "revision": model.revision,
        }
        return stage.made(folder, model.model_id, facts=facts, metadata=facts)

    @made(
        keys, "hookpoints", group="models", io="record", loads=["subject_model"], after=["site_config"], kinds={"pytorch"}
    )
    def hookpoints(context: dg.AssetExecutionContext, atlas: Atlas, subject_model) -> dg.MaterializeResult:  # noqa: ANN001
        """The module whose output is read: found in the model, with its width."""
        from sae.models.hookpoints import hook_module

        stage = atlas.stage(context)
        site = atlas.config.site(context.partition_key)
        module = hook_module(subject_model, site.hookpoint)
        facts = {
            "model_id": subject_model.model_id,
            "hookpoint": site.hookpoint,
            "module": type(module).__name__,
            "d_model": subject_model.d_model,
        }
        version = content_id(facts | {"site": site.model_dump(mode="json")})
        return stage.made(None, version, facts=facts, metadata=facts)

    @made(
        keys,
        "activations",
        group="activations",
        io="activations",
        loads=["corpus"],
        after=["hookpoints"],
        kinds={"pytorch", "safetensors"},
        pool="gpu",
    )
    def activations(context: dg.AssetExecutionContext, atlas: Atlas, corpus: pl.DataFrame) -> dg.MaterializeResult:
        """The hookpoint's output at every position of one shard, with each position's token beside it."""
        from sae.activations.harvest import harvest
        from sae.identity import tensors_id

        stage = atlas.stage(context)
        if kept := stage.kept():
            return kept
        shard, site = atlas.config_cell(context.partition_key)
        tick = atlas.progress(f"activations {context.partition_key}", corpus.height, "documents")
        harvested = harvest(
            atlas.subject(site.model),
            [site.hookpoint],
            corpus,
            batch_tokens=site.batch_tokens,
            dtype=site.store_dtype,
            massive_norm_ratio=site.massive_norm_ratio,
            on_batch=tick,
        )[site.hookpoint]
        tokens = harvested.tokens
        counts = {
            "n_tokens": tokens.height,
            "n_special": int(tokens["special"].sum()),
            "n_massive": int(tokens["massive"].sum()),
        }
        version = content_id([tensors_id({"activations": harvested.values}), corpus["document_id"].to_list()])
        documents = atlas.ref(Cell("corpus", shard)).files["documents"]
        return stage.made(
            harvested,
            version,
            facts=counts | {"documents": asdict(documents)},
            metadata=counts | {"mean_norm": float(harvested.values.float().norm(dim=1).mean())},
            checks=[Check("activations_finite", True, 0, 0)],
        )

    @made(keys, "activation_set", group="activations", io="record", after=["activations"], kinds={"json"})
    def activation_set(context: dg.AssetExecutionContext, atlas: Atlas) -> dg.MaterializeResult:
        """The manifest of a site: its shards, which of them are held out, and the one scalar of normalisation."""
        from sae.activations.manifest import ShardRecord, build_activation_set

        stage = atlas.stage(context)
        site = atlas.config.site(context.partition_key)
        refs = [atlas.ref(cell) for cell in atlas.known_keys(context).upstream(stage.cell, "activations")]
        records = [_record(ref) for ref in refs]
        manifest = build_activation_set(site.name, site.hookpoint, records, site.normalisation, atlas.store.local)
        massive = sum(ref.facts["n_massive"] for ref in refs) / max(1, sum(ref.facts["n_tokens"] for ref in refs))
        facts = {
            "activation_set": manifest.to_json(),
            "documents": {record.shard: ref.facts["documents"] for record, ref in zip(records, refs, strict=True)},
        }
        metadata = {
            "shards": len(records),
            "tokens": sum(record.n_tokens for record in records),
            "scale": manifest.scale,
            "massive_share": massive,
        }
        version = content_id(manifest.to_json())
        return stage.made(
            None, version, facts=facts, metadata=metadata, checks=[at_most("massive_rare", massive, MASSIVE_SHARE)]
        )

    def _record(ref: Ref) -> "ShardRecord":
        from sae.activations.manifest import ShardRecord

        return ShardRecord(
            shard=str(ref.partition).split("|")[0],
            data_version=ref.data_version,
            n_tokens=ref.facts["n_tokens"],
            tensors=ref.files["tensors"],
            tokens=ref.files["tokens"],
        )

    return [
        source(keys, "model_source", group="models", description="A model's source and revision, by its files' hashes."),
        source(keys, "site_config", group="models", description="How a site is read: corpora, batch, number format."),
        subject_model,
        hookpoints,
        activations,
        activation_set,
    ]
