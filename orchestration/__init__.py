"""Dagster on top of the domain: partitions, resources, IO managers, the planner and the command line."""
