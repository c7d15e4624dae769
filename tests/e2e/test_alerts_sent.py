"""A refresh that fails tells whomever the config names, and goes on as it would without them."""

import json

from alert_servers import http_server
from tiny_pipeline import write_config


def broken(config, port):
    config["sites"][0].update(hookpoint="layers.9")
    config["alerts"] = {"webhook": f"http://127.0.0.1:{port}/hook"}


def test_a_failed_run_is_told_with_asset_partition_and_reason(place, command):
    with http_server() as received:
        write_config(place.folder, lambda config: broken(config, received.port))
        ran = command("run")

    assert ran.code == 1
    ((_, _, body),) = received.requests
    said = json.loads(body)
    assert said["trigger"] == "atlas run"
    (event,) = said["events"]
    assert (event["kind"], event["asset"], event["partition"]) == ("failed", "hookpoints", "world-lm.layers.9")
    assert "layers.9" in event["reason"]


def test_an_alert_that_fails_is_said_and_changes_nothing_else(place, command):
    with http_server(500) as received:
        write_config(place.folder, lambda config: broken(config, received.port))
        ran = command("run")

    assert ran.code == 1
    assert "! the alert by webhook was not sent: HTTPError" in ran.err
    assert "failed: hookpoints[world-lm.layers.9]" in ran.err


def test_a_refresh_that_cannot_begin_is_told_too(place, command):
    with http_server() as received:
        write_config(
            place.folder,
            lambda config: config.update(
                corpora={"world": {"source": "files", "paths": ["nowhere/*.txt"]}},
                alerts={"webhook": f"http://127.0.0.1:{received.port}/hook"},
            ),
        )
        ran = command("run")

    assert ran.code == 1
    ((_, _, body),) = received.requests
    assert "No file matches" in json.loads(body)["events"][0]["reason"]
