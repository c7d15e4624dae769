"""The one error that a user sees: what is wrong and what to do, in one or two lines."""


class AtlasError(Exception):
    """A fault that the user can mend. The command line prints its text and exits with 1."""


class DamagedFileError(AtlasError):
    """A file of the store is not what was recorded of it."""


class ConfigError(AtlasError):
    """The configuration is wrong: names the key, what was found and what is allowed. Exit code 2."""
