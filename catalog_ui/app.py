"""The catalog's pages: `streamlit run catalog_ui/app.py`, or `atlas ui`.

The store is the one that `ATLAS_CONFIG` or `ATLAS_STORE` names, `atlas.yaml` in the working folder by default.
"""

from pathlib import Path

import streamlit as st

FOLDER = Path(__file__).parent

st.set_page_config(page_title="Feature Atlas", page_icon=FOLDER / "icon.svg", layout="wide")
st.logo((FOLDER / "logo.svg").read_text(encoding="utf-8"), size="large")

page = st.navigation(
    [
        st.Page("app_pages/map.py", title="Map", icon=":material/scatter_plot:", url_path="map", default=True),
        st.Page("app_pages/search.py", title="Search", icon=":material/search:", url_path="search"),
        st.Page("app_pages/feature.py", title="Feature", icon=":material/lens:", url_path="feature"),
        st.Page("app_pages/compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare"),
        st.Page(
            "app_pages/attribution.py", title="Attribution", icon=":material/account_tree:", url_path="attribution"
        ),
        st.Page("app_pages/steering.py", title="Steering", icon=":material/tune:", url_path="steering"),
        st.Page("app_pages/audit.py", title="Audit", icon=":material/fact_check:", url_path="audit"),
        st.Page("app_pages/sql.py", title="SQL", icon=":material/table:", url_path="sql"),
        st.Page("app_pages/health.py", title="Health", icon=":material/monitor_heart:", url_path="health"),
    ],
    position="top",
)
page.run()
