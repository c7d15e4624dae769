"""Attribution: which features carry a question to its answer, by gradient and by ablation."""

import streamlit as st

from catalog_ui.access import require_reader
from catalog_ui.components.own_question import show_own_question
from catalog_ui.components.stored_question import show_stored_question

reader = require_reader()
st.title("Attribution")
stored, own = st.tabs(["Stored questions", "A question of your own"])
with stored:
    show_stored_question(reader)
with own:
    show_own_question(reader)
