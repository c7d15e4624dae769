"""Models and what they compute: the subject model, its hookpoints, activations and the manifest of a site."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from orchestration.asset import Part, made, made_together, source
from orchestration.checks import at_most
from orchestration.document_files import read_documents
from orchestration.partitions import Cell, Keys
from orchestration.resources import Atlas, Stage
from sae.config import SiteConfig, load_workspace
from sae.identity import content_id

MASSIVE_SHARE = 0.01
"""Largest share of massive activations that counts as rare."""


@dg.definitions
def activations_definitions() -> dg.Definitions:
    """The assets of the group."""
    return dg.Definitions(assets=activations_assets(Keys(load_workspace().config)))


def activations_assets(keys: Keys) -> list[dg.AssetsDefinition]:
    """`subject_model`, `hookpoints`, `activations`, `activation_set` and the sources that they watch."""

    @made(keys, "subject_model", group="models", after=["model_source"], kinds={"pytorch"}, pool="gpu")
    def subject_model(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The model that is studied: fetched, converted or (the demo world's) trained here; named by its weights."""
        from sae.models.loading import materialise_model

        if kept := stage.kept():
            return kept
        name = stage.partition
        config = atlas.config.models[name]
        folder = atlas.scratch()
        tick = atlas.progress(f"subject_model {name}", "steps")
        try:
            model = materialise_model(config, name, atlas.seed, atlas.workspace.path.parent, folder, tick)
        except BaseException:
            shutil.rmtree(folder)
            raise
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

    @made(keys, "hookpoints", group="models", after=["subject_model", "site_config"], kinds={"pytorch"})
    def hookpoints(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The module whose output is read: found in the model, with its width."""
        from sae.models.hookpoints import hook_module, hookpoint_width

        site = atlas.config.site(stage.partition)
        subject = atlas.subject(site.model)
        module = hook_module(subject, site.hookpoint)
        facts = {
            "model_id": subject.model_id,
            "hookpoint": site.hookpoint,
            "module": type(module).__name__,
            "d_model": hookpoint_width(subject, site.hookpoint),
        }
        attention = atlas.config.models[site.model].attention
        if attention != "auto":  # Another kernel rounds in another way, so what is read becomes stale.
            facts["attention"] = attention
        version = content_id(facts | {"site": site.model_dump(mode="json", exclude_defaults=True)})
        return stage.made(None, version, facts=facts, metadata=facts)

    @made_together(
        keys,
        Part("activations", kinds={"pytorch", "safetensors"}),
        group="activations",
        after=["corpus", "hookpoints"],
        together=lambda key: key.split("|")[0],
        pool="gpu",
    )
    def activations(
        context: dg.AssetExecutionContext, atlas: Atlas, stages: list[Stage]
    ) -> Iterator[dg.MaterializeResult]:
        """The hookpoint's output at every position of one shard, with each position's token beside it.

        One forward pass reads all hookpoints of a model. At a streamed site the pass is made to measure it, and only
        the tokens are kept.
        """
        import torch

        from sae.activations.harvest import harvest
        from sae.activations.manifest import measure_shard
        from sae.activations.shard import shard_version

        passes: dict[tuple[str, int, str, float], list[tuple[Stage, SiteConfig]]] = {}
        for stage in stages:
            if kept := stage.kept():
                yield kept
                continue
            site = atlas.config.site(stage.partition.split("|")[1])
            alike = (site.model, site.batch_tokens, site.store_dtype, site.massive_norm_ratio)
            passes.setdefault(alike, []).append((stage, site))
        shard = stages[0].partition.split("|")[0]
        documents = atlas.ref(Cell("corpus", shard)).files["documents"]
        for (model, batch_tokens, dtype, ratio), sites in passes.items():
            harvested = harvest(
                atlas.subject(model),
                list(dict.fromkeys(site.hookpoint for _, site in sites)),
                read_documents(atlas.store, documents),
                batch_tokens=batch_tokens,
                dtype=getattr(torch, dtype),
                massive_norm_ratio=ratio,
                on_batch=atlas.progress(f"activations {shard}|{', '.join(site.name for _, site in sites)}", "tokens"),
            )
            for stage, site in sites:
                shard_of_site = harvested[site.hookpoint]
                measured = measure_shard(shard_of_site)
                counts = {
                    "n_tokens": measured.n_tokens,
                    "n_special": measured.n_special,
                    "n_massive": measured.n_massive,
                    "n_trainable": measured.n_trainable,
                }
                yield stage.made(
                    shard_of_site.tokens if site.mode == "streamed" else shard_of_site,
                    shard_version(shard_of_site),
                    facts={"statistics": asdict(measured), "documents": asdict(documents)},
                    metadata=counts | {"mean_norm": measured.sum_norm / max(1, measured.n_trainable)},
                    checks=[at_most("activations_finite", int((~shard_of_site.values.isfinite()).sum()), 0)],
                )

    @made(keys, "activation_set", group="activations", after=["activations"], kinds={"json"})
    def activation_set(context: dg.AssetExecutionContext, atlas: Atlas, stage: Stage) -> dg.MaterializeResult:
        """The manifest of a site: its shards, which of them are held out, and the one scalar of normalisation."""
        from sae.activations.manifest import (
            ShardRecord,
            ShardStatistics,
            Streaming,
            activation_set_to_json,
            build_activation_set,
        )

        site = atlas.config.site(stage.partition)
        # One that could not be read is none of the inputs: the others go on without it, and it is told of by itself.
        cells = atlas.known_keys(context).upstream(stage.cell, "activations")
        refs = [atlas.ref(cell) for cell in cells if str(cell) in stage.inputs]
        records = [
            ShardRecord(
                shard=str(ref.partition).split("|")[0],
                data_version=ref.data_version,
                tensors=ref.files.get("tensors"),
                tokens=ref.files["tokens"],
                statistics=ShardStatistics(**ref.facts["statistics"]),
            )
            for ref in refs
        ]
        streamed = Streaming(site.batch_tokens, site.store_dtype) if site.mode == "streamed" else None
        manifest = build_activation_set(site.name, site.hookpoint, site.normalisation, records, streamed)
        model = atlas.ref(Cell("subject_model", site.model))
        massive = manifest.count("n_massive") / max(1, manifest.count("n_tokens"))
        facts = {
            "activation_set": json.loads(activation_set_to_json(manifest)),
            "documents": {record.shard: ref.facts["documents"] for record, ref in zip(records, refs, strict=True)},
            "documents_made_at": {
                record.shard: atlas.ref(Cell("corpus", record.shard)).finished_at for record in records
            },
            "model": {
                "model_id": model.data_version,
                "name": site.model,
                "files": sorted(model.files),
                "attention": atlas.config.models[site.model].attention,
            },
        }
        metadata = {
            "shards": len(records),
            "tokens": manifest.count("n_tokens"),
            "trainable_tokens": manifest.count("n_trainable"),
            "scale": manifest.scale,
            "massive_share": massive,
        }
        checks = [at_most("massive_rare", massive, MASSIVE_SHARE)]
        return stage.made(None, manifest.id, facts=facts, metadata=metadata, checks=checks)

    return [
        source(
            keys, "model_source", group="models", description="A model's source and revision, by its files' hashes."
        ),
        source(keys, "site_config", group="models", description="How a site is read: corpora, batch, number format."),
        subject_model,
        hookpoints,
        activations,
        activation_set,
    ]
