"""OpenLineage events about what is made: START, COMPLETE, FAIL or ABORT of every cell, to a file or a server.

A cell is a data set, and a job of the asset's name makes it. The run of an event is named after Dagster's run and the
cell, so that whoever sees one end of it (the stage, the IO manager, a hook) names the same run. A place that does not
take events stops nothing: the log says so, and that the run's lineage is not whole.
"""

import os
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.partitions import Cell
from orchestration.refs import Ref, content_of
from orchestration.table_columns import TableColumn, column_sources, stored_tables
from sae.config import OpenLineageConfig
from sae.errors import ConfigError
from sae.storage import Store

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.transport.transport import Transport

KEY_VARIABLE = "OPENLINEAGE_API_KEY"
PRODUCER = "urn:feature-atlas"
"""Who sends the events, as OpenLineage wants it named: a URI."""
_RETRY = {"total": 2, "backoff_factor": 0.1, "status_forcelist": [502, 503, 504], "allowed_methods": ["POST"]}
_JOB = "refresh"
"""The job whose run every cell's run is a part of."""


class LineageEvents:
    """Where the events of one run go. Without a section `openlineage` in the config they go nowhere."""

    def __init__(self, config: OpenLineageConfig | None, base: Path, warn: Callable[[str], None]):
        """Open the place; relative files start at `base`. Raises ConfigError where the client is not installed."""
        self._config = config
        self._warn = warn
        self._transport = None if config is None else _transport(config, base)

    def started(self, cell: Cell, run_id: str, inputs: Mapping[str, str]) -> None:
        """A cell is about to be made.

        :param run_id: Dagster's run
        :param inputs: version of each upstream cell, as `Ref.inputs` holds it
        """
        if self._transport is not None:
            self._send("START", cell, run_id, inputs=inputs)

    def completed(self, ref: Ref, run_id: str, store: Store) -> None:
        """A cell was made, or found to be there as wanted."""
        if self._transport is not None:
            self._send("COMPLETE", ref.cell, run_id, inputs=ref.inputs, outputs=self._outputs(ref, store))

    def failed(self, cell: Cell, run_id: str, words: str) -> None:
        """A cell was not made."""
        if self._transport is not None:
            self._send("FAIL", cell, run_id, words=words)

    def gave_nothing(self, cell: Cell, run_id: str) -> None:
        """A gate let nothing through."""
        if self._transport is not None:
            self._send("ABORT", cell, run_id)

    def _send(
        self,
        state: str,
        cell: Cell,
        run_id: str,
        inputs: Mapping[str, str] | None = None,
        outputs: "list[OutputDataset] | None" = None,
        words: str | None = None,
    ) -> None:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
        from openlineage.client.facet_v2 import error_message_run, job_type_job, parent_run

        assert self._config is not None
        assert self._transport is not None
        namespace = self._config.namespace
        facets: dict[str, Any] = {
            "parent": parent_run.ParentRunFacet(parent_run.Run(run_id), parent_run.Job(namespace, _JOB))
        }
        if words is not None:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(words, "python")
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType="ASSET")
        event = RunEvent(
            eventTime=datetime.now(UTC).isoformat(),
            producer=PRODUCER,
            eventType=RunState[state],
            run=Run(event_run(run_id, cell), facets),
            job=Job(namespace, cell.asset, {"jobType": kind}),
            inputs=[self._input(name, version) for name, version in (inputs or {}).items()],
            outputs=outputs if outputs is not None else self._wanted(cell),
        )
        try:
            self._transport.emit(event)
        except Exception as error:  # whatever the transport meets: a library's, the network's or the disk's
            self._transport = None
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            self._warn(f"openlineage takes no events ({said}): this run's lineage there is not whole.")

    def _input(self, name: str, version: str) -> "InputDataset":
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset

        assert self._config is not None
        facet = dataset_version_dataset.DatasetVersionDatasetFacet(content_of(version))
        return InputDataset(self._config.namespace, name, facets={"version": facet})

    def _wanted(self, cell: Cell) -> "list[OutputDataset]":
        from openlineage.client.event_v2 import OutputDataset

        assert self._config is not None
        return [OutputDataset(self._config.namespace, str(cell))]

    def _outputs(self, ref: Ref, store: Store) -> "list[OutputDataset]":
        """The cell, and each further table of an artifact that has several."""
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset, datasource_dataset

        assert self._config is not None
        tables = stored_tables(store, ref)
        own = ref.asset if ref.asset in tables else next(iter(tables), ref.asset) if len(tables) == 1 else ref.asset
        found = []
        for table in dict.fromkeys([own, *tables]):
            name = str(ref.cell) if table == own else str(Cell(table, ref.partition))
            facets: dict[str, Any] = {
                "version": dataset_version_dataset.DatasetVersionDatasetFacet(ref.data_version),
                "dataSource": datasource_dataset.DatasourceDatasetFacet("store", str(store.root)),
            }
            if table in tables:
                facets |= self._of_columns(ref, tables[table], table == own)
            found.append(OutputDataset(self._config.namespace, name, facets=facets))
        return found

    def _of_columns(self, ref: Ref, columns: list[TableColumn], is_own: bool) -> dict[str, Any]:
        from openlineage.client.facet_v2 import column_lineage_dataset as lineage
        from openlineage.client.facet_v2 import schema_dataset

        assert self._config is not None
        fields = [schema_dataset.SchemaDatasetFacetFields(c.name, c.type, c.comment) for c in columns]
        facets: dict[str, Any] = {"schema": schema_dataset.SchemaDatasetFacet(fields)}
        if is_own and (sources := column_sources(ref.asset, columns)):
            upstream = {name.split("[")[0]: name for name in ref.inputs}
            facets["columnLineage"] = lineage.ColumnLineageDatasetFacet(
                {
                    name: lineage.Fields(
                        [
                            lineage.InputField(self._config.namespace, upstream[asset], column)
                            for asset, column in found
                            if asset in upstream
                        ]
                    )
                    for name, found in sources.items()
                }
            )
        return facets


def event_run(run_id: str, cell: Cell) -> str:
    """The id of the run that makes a cell in a run of Dagster's: a UUID, the same wherever it is asked for."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{run_id}/{cell}"))


def _transport(config: OpenLineageConfig, base: Path) -> "Transport":
    try:
        from openlineage.client.transport.file import FileConfig, FileTransport
        from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
    except ImportError as error:
        raise ConfigError(
            "openlineage is configured, but its client is not installed: pip install 'feature-atlas[openlineage]'."
        ) from error
    if config.file is not None:
        path = base / config.file
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileTransport(FileConfig(str(path), append=True))
    assert config.url is not None
    http = HttpConfig(config.url, timeout=config.timeout_s, retry=_RETRY)
    if key := os.environ.get(KEY_VARIABLE):
        http.auth = ApiKeyTokenProvider({"apiKey": key})
    return HttpTransport(http)
