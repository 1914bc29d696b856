"""The site of the notebooks folder: `python -m sphinx -W -c .ci/docs notebooks site`. It runs and fetches nothing."""

project = "kit"
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "kit"
root_doc = "index"
nb_execution_mode = "off"
# What widgets left behind is plain HTML; their scripts would come from elsewhere.
nb_ipywidgets_js = {}
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure", "mystnb.unknown_mime_type"]
