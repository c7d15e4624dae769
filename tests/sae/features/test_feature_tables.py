import polars as pl
import torch

from sae.catalog.frames import conform
from sae.catalog.schema import TABLES
from sae.features.activity import gather_activity
from sae.features.cluster_names import cluster_frame
from sae.features.families import families
from sae.features.logit_weights import logit_weights
from sae.features.map import feature_map
from sae.features.neighbors import live_directions, neighbors_across, neighbors_within


def test_frames_have_the_columns_of_the_catalog(planted_site):
    shards, dictionary = planted_site()

    found = gather_activity(shards, dictionary, "d", seed=0, image_paths={"doc0": "corpora/world/images/a.png"})
    directions = live_directions(dictionary.W_dec, found.features["is_dead"].to_numpy(), "d")
    neighbors, _ = neighbors_within(directions)
    places = feature_map(directions, neighbors, seed=0)
    labels = pl.DataFrame({"feature_id": ["d:0"], "label": ["Lakers"]})
    frames = {
        "features": found.features.join(places.drop("dictionary_id", "index"), on="feature_id", how="left"),
        "examples": found.examples,
        "coactivations": found.coactivations,
        "neighbors": pl.concat([neighbors, neighbors_across(directions, [directions])]),
        "families": families(directions, directions),
        "logit_weights": logit_weights(directions, torch.eye(8).repeat(3, 1), str),
        "clusters": cluster_frame(places, labels),
    }

    for name, frame in frames.items():
        assert conform(TABLES[name], frame).columns == [column.name for column in TABLES[name].columns]
    pictured = found.examples.filter(pl.col("image_path").is_not_null())
    assert pictured["document_id"].unique().to_list() == ["doc0"]
