"""The published catalog: its schema, how it is built, and how it is read. Brings no torch with it."""

from sae.catalog.query import Catalog, open_catalog

__all__ = ["Catalog", "open_catalog"]
