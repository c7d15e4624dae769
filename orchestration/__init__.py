"""Dagster on top of the domain: partitions, resources, IO managers, the planner and the command line."""

import os

# Before torch is loaded: its threads otherwise spin while they wait for one another, and where another process wants
# the cores too, each step then takes many times as long. Measured on two cores, training the demo world's model, 40
# steps: alone 5.9 s (5.0 s without the limit), two at once 10 s (22 s to 205 s).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
