"""SQL: one reading query at a time on the published catalog, with the schema beside it."""

import time

import streamlit as st

from catalog_ui.access import Reader, require_reader, show_error
from catalog_ui.components.records import Column, records
from catalog_ui.csv_text import to_csv
from sae.catalog.schema import TABLES, VIEWS
from sae.catalog.table import Column as SchemaColumn
from sae.errors import AtlasError

ROWS_SHOWN = 5_000  # on the page; the CSV holds up to ROWS_FETCHED
ROWS_FETCHED = 200_000

SCHEMA_COLUMNS = (Column("column", "Column", "mono"), Column("type", "Type", "quiet"), Column("comment", "Comment"))

QUERIES = {
    "Best-known features": """select c.name as concept, s.f1, s.precision, s.recall, l.label, s.feature_id
from concept_scores s
join concepts c using (concept_id)
left join current_labels l using (feature_id)
where s.slice = 'all'
order by s.f1 desc, s.n desc
limit 20""",
    "One feature in every language": """select c.name as concept, d.recipe, l.label,
       min(s.f1) filter (s.slice not in ('all', 'image', 'code')) as worst_language,
       any_value(s.f1) filter (s.slice = 'image') as pictures,
       any_value(s.f1) filter (s.slice = 'all') as everywhere,
       s.feature_id
from concept_scores s
join concepts c using (concept_id)
join dictionaries d using (dictionary_id)
left join current_labels l using (feature_id)
where c.kind = 'landmark'
group by all
order by worst_language desc, everywhere desc""",
    "How features split": """select p.label as parent, f.parent_feature_id, count(*) as children,
       list(c.label order by f.cosine desc) as becomes
from families f
left join current_labels p on p.feature_id = f.parent_feature_id
left join current_labels c on c.feature_id = f.child_feature_id
group by all
order by children desc
limit 20""",
    "Where labels came from": """select labeler, model, prompt_version, seed, origin, status,
       count(*) as labels, sum(cost_usd) as cost_usd
from labels
group by all
order by labels desc""",
    "Dictionaries and their quality": """select site, recipe, d_sae, fvu, l0, dead_fraction, loss_recovered,
       is_current, rejected_because
from dictionaries
order by site, recipe""",
}


def _schema() -> None:
    st.subheader("Schema")
    relations = {**TABLES, **VIEWS}
    name = st.selectbox("Table or view", sorted(relations), index=sorted(relations).index("features"), key="relation")
    relation = relations[name]
    st.text(relation.comment)
    rows = [
        {"column": column.name, "type": column.type.lower(), "comment": _comment(column)} for column in relation.columns
    ]
    records(rows, SCHEMA_COLUMNS, key=f"schema-{name}")


def _comment(column: SchemaColumn) -> str:
    allowed = f" One of: {', '.join(column.values)}." if column.values else ""
    return column.comment.replace("`", "") + allowed


def _take_example() -> None:
    if chosen := st.session_state.get("example"):
        st.session_state["query"] = QUERIES[chosen]


def _editor() -> str | None:
    """The query that was sent just now."""
    st.session_state.setdefault("query", next(iter(QUERIES.values())))
    st.pills("Start from", list(QUERIES), key="example", on_change=_take_example)
    with st.form("editor", border=False):
        query = st.text_area("Query", key="query", height=210, label_visibility="collapsed")
        sent = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
    st.caption("Ctrl+Enter runs it. Only a single SELECT is let through; the catalog is open for reading only.")
    return query if sent else None


def _run(reader: Reader, query: str) -> None:
    """Run a query and keep its result for the reruns that follow."""
    st.session_state.pop("result", None)
    start = time.perf_counter()
    try:
        frame = reader.catalog.sql(query, limit=ROWS_FETCHED + 1)
    except AtlasError as error:
        show_error(error)
        return
    st.session_state["result"] = (frame, time.perf_counter() - start, reader.version)


def _result() -> None:
    if "result" not in st.session_state:
        return
    frame, seconds, version = st.session_state["result"]
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    count = f"more than {ROWS_FETCHED:,}" if frame.height > ROWS_FETCHED else f"{frame.height:,}"
    shown = f", the first {ROWS_SHOWN:,} are shown" if frame.height > ROWS_SHOWN else ""
    left.caption(f"{count} {'row' if frame.height == 1 else 'rows'} in {seconds:.2f} s{shown} · catalog {version}")
    right.download_button(
        "Download CSV",
        lambda: to_csv(frame.head(ROWS_FETCHED)),
        "atlas.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
    )
    st.dataframe(frame.head(ROWS_SHOWN), hide_index=True)


reader = require_reader()
st.html("<style>.stTextArea textarea { font-family: var(--st-code-font, monospace); font-size: 0.85rem; }</style>")
st.title("SQL")
left, right = st.columns([1.8, 1], gap="large")
with left:
    query = _editor()
    if query is not None:
        _run(reader, query)
    _result()
with right:
    _schema()
