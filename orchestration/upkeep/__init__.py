"""Keeping a store in order: what may go, what must, and a copy of all of it."""
