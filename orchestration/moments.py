"""This moment, in the form that records hold."""

import datetime


def utc_now() -> str:
    """This moment in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
