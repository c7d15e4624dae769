"""The domain library of Feature Atlas. It imports nothing heavy, so that readers start at once."""
