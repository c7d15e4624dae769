"""Scorers that ask a language model about held-out examples: detection, fuzzing, simulation, specificity."""
