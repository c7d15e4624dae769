"""The Dagster assets, one file a group: thin bodies around the functions of `sae`."""
