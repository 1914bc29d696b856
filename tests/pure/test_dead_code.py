"""No function, class or attribute of the package that nothing in it uses and no page tells users of."""

from __future__ import annotations

import re
from pathlib import Path

from vulture import Vulture

import kit

ROOT = Path(kit.__file__).parent
PAGES = [*ROOT.parent.glob("notebooks/*.md"), *ROOT.parent.glob("notebooks/*.ipynb"), ROOT.parent / "README.md"]
KINDS = {"function", "method", "class", "property", "attribute", "import", "unreachable_code"}
"""Variables are left out: they are the fields of messages and the members of enumerations."""
ELSEWHERE = {
    "Python, IPython and Jupyter": """__getattr__ __signature__ _ipython_display_ _ipython_key_completions_ _repr_pretty_
        load_ipython_extension unload_ipython_extension kql __context__""",
    "what is registered to be called at the end of the process": "_end_all _flush_all",
    "pandas, Arrow's datasets, matplotlib, Dask, SQLite": """KitAccessor _constructor projected_schema format_ticks setup
        inverse row_factory""",
    "asyncio, h2, httptools, Starlette, protobuf": """eof_received pause_writing resume_writing on_url on_header on_body
        on_message_complete local_settings max_header_list_size max_inbound_frame_size redirect_slashes oneof_index
        proto3_optional""",
    "the references, whose users know it": """decrby get_json is_retryable iter_lines raise_for_status expect_append
        expect_append_batch expect_execute expect_query expect_read_from_position expect_read_stream expect_subscribe""",
    "unloading, in the shell's own dict": "_kit_matcher",
}


def test_nothing_is_there_that_nothing_uses():
    looked = Vulture()
    looked.scavenge([str(ROOT)])
    unused = {item.name: item for item in looked.get_unused_code() if item.typ in KINDS}
    told = set(re.findall(r"\w+", "\n".join(page.read_text("utf-8") for page in PAGES)))
    used = {name for names in ELSEWHERE.values() for name in names.split()}
    dead = [
        f"{item.filename.relative_to(ROOT.parent)}:{item.first_lineno}: {name}"
        for name, item in unused.items()
        if name not in told | used
    ]
    assert not dead
    assert not used - unused.keys(), "these are used by now"
