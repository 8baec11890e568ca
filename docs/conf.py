"""Sphinx configuration. ``make docs`` builds with warnings as errors."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

project = "Pileus"
author = "the Pileus developers"
copyright = "the Pileus developers, Apache-2.0"
release = metadata.version("pileus")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.apidoc", "plain_docstrings"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
html_theme = "furo"
html_title = f"Pileus {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# One page per module, made from the packages at every build: a new module needs no entry anywhere.
apidoc_modules = [
    {
        "path": f"../{package}",
        "destination": f"reference/generated/{package}",
        "separate_modules": True,
        "module_first": True,
        "max_depth": 2,
        "automodule_options": {"members", "show-inheritance"},
    }
    for package in ("runtime", "host_functions", "pov_validator", "pileus")
]

# A package's page does not repeat what it re-exports from its modules.
autodoc_default_options = {"ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
# Type names in signatures are written short and several modules may define one (`Error`, `Call`): links are
# a bonus.
suppress_warnings = ["ref.python"]
