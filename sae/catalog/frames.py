"""Polars frames of the catalog's tables: their dtypes, and a frame brought to them or refused."""

from collections.abc import Sequence

import polars as pl

from sae.catalog.table import Column, Table, Type
from sae.errors import AtlasError

_DTYPES: dict[Type, pl.DataType] = {
    "VARCHAR": pl.String(),
    "INTEGER": pl.Int32(),
    "BIGINT": pl.Int64(),
    "FLOAT": pl.Float32(),
    "DOUBLE": pl.Float64(),
    "BOOLEAN": pl.Boolean(),
    "TIMESTAMP": pl.Datetime("us"),
    "JSON": pl.String(),
    "VARCHAR[]": pl.List(pl.String()),
    "FLOAT[]": pl.List(pl.Float32()),
    "MAP(VARCHAR, DOUBLE)": pl.List(pl.Struct({"key": pl.String(), "value": pl.Float64()})),
}


def frame_schema(table: Table) -> pl.Schema:
    """Column names and polars dtypes of a table. A MAP is a list of structs {key, value}, JSON is text."""
    return pl.Schema({column.name: _DTYPES[column.type] for column in table.columns})


def empty_frame(table: Table) -> pl.DataFrame:
    """No rows, with the table's columns."""
    return pl.DataFrame(schema=frame_schema(table))


def conform(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the table's columns in order, exact dtypes, sorted as the table is.

    Whole numbers and floating-point numbers of another width are cast, ISO 8601 texts become timestamps, moments
    with a time zone become UTC. Raises AtlasError on a missing or unknown column, another type, a null where none may
    be, or a value outside the few allowed.
    """
    _same_columns(table, frame.columns)
    conformed = pl.DataFrame([_conform_column(table, column, frame[column.name]) for column in table.columns])
    return sort_rows(table, conformed)


def sort_rows(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows in the table's order, ties by the remaining plain columns, so that equal content has one order."""
    plain = [c.name for c in table.columns if not c.type.endswith(("]", ")"))]
    rest = [name for name in plain if name not in table.order]
    keys = [pl.col(name) for name in (*table.order, *rest) if name in plain]
    return frame.sort(keys, nulls_last=True, maintain_order=True)


def _same_columns(table: Table, found: Sequence[str]) -> None:
    wanted = table.column_names
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    if missing or unknown:
        faults = [f"lacks {name}" for name in missing] + [f"has unknown {name}" for name in unknown]
        raise AtlasError(f"The frame for table {table.name} {', '.join(faults)}. Wanted: {', '.join(wanted)}.")


def _conform_column(table: Table, column: Column, values: pl.Series) -> pl.Series:
    cast = _cast(column.type, values)
    if cast is None:
        raise AtlasError(
            f"{table.name}.{column.name} is {values.dtype}, but {_DTYPES[column.type]} ({column.type}) is wanted."
        )
    if not column.nullable and cast.null_count():
        raise AtlasError(f"{table.name}.{column.name} has {cast.null_count()} nulls, but none is allowed.")
    if column.values:
        strange = cast.drop_nulls().unique().sort().to_list()
        strange = [value for value in strange if value not in column.values]
        if strange:
            raise AtlasError(f"{table.name}.{column.name} holds {strange[0]!r}. Allowed: {', '.join(column.values)}.")
    return cast


def _cast(wanted: Type, values: pl.Series) -> pl.Series | None:
    dtype = _DTYPES[wanted]
    if values.dtype == dtype:
        return values
    if not _is_kin(wanted, values.dtype):
        return None
    try:
        if wanted == "TIMESTAMP" and values.dtype == pl.String:
            return values.str.to_datetime(time_unit="us", time_zone="UTC", strict=True).dt.replace_time_zone(None)
        if wanted == "TIMESTAMP" and isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
            values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return values.cast(dtype, strict=True)
    except pl.exceptions.PolarsError:
        return None


def _is_kin(wanted: Type, found: pl.DataType) -> bool:
    """Whether a cast keeps the meaning: never text to number, never a fraction to a whole number."""
    if found == pl.Null:
        return True
    match wanted:
        case "INTEGER" | "BIGINT":
            return found.is_integer()
        case "FLOAT" | "DOUBLE":
            return found.is_float() or found.is_integer()
        case "TIMESTAMP":
            return isinstance(found, pl.Datetime | pl.String)
        case "VARCHAR":
            return isinstance(found, pl.Categorical | pl.Enum)
        case "VARCHAR[]":
            return isinstance(found, pl.List) and found.inner in (pl.String, pl.Null)
        case "FLOAT[]":
            inner = found.inner if isinstance(found, pl.List) else None
            return inner is not None and (inner == pl.Null or inner.is_numeric())  # type: ignore[union-attr]
        case "MAP(VARCHAR, DOUBLE)":
            return isinstance(found, pl.Map) or (isinstance(found, pl.List) and _is_key_value(found.inner))
        case _:
            return False


def _is_key_value(inner: object) -> bool:
    if inner == pl.Null:
        return True
    return isinstance(inner, pl.Struct) and [field.name for field in inner.fields] == ["key", "value"]
