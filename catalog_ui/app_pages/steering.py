"""Steering: what the model writes while features are held, stored and asked anew.

The address may name a feature to start from: `steering?id=<dictionary_id>:<index>`.
"""

import streamlit as st

from catalog_ui.access import require_reader
from catalog_ui.components.steering_form import show_steering_form
from catalog_ui.components.stored_steering import show_stored_steering

reader = require_reader()
st.title("Steering")
named = show_stored_steering(reader)
st.subheader("Steer the model")
show_steering_form(reader, named)
