"""How the site is built; what it is made of is laid out by ``python -m docs.generator`` (`make docs` does both)."""

import os
import shutil
import sys
import tomllib
from importlib import import_module
from importlib.metadata import files
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from numpydoc.xref import DEFAULT_LINKS  # noqa: E402

from docs.generator import inventories  # noqa: E402
from docs.generator.names import page_of, pages  # noqa: E402
from docs.generator.words import without_advice  # noqa: E402

os.environ["BAYESMDP_SMALL"] = "1"  # the tutorials at the size of their tests
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
# Kernels would each warn that they talk to this process without encryption.
PROFILE = ROOT / "docs" / "_build" / "ipython" / "profile_default"
PROFILE.mkdir(parents=True, exist_ok=True)
(PROFILE / "ipython_kernel_config.py").write_text("c.IPKernelApp.log_level = 40\n")
os.environ["IPYTHONDIR"] = str(PROFILE.parent)

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
project, author = DECLARED["name"], "The bayesmdp authors"
version = release = DECLARED["version"]
copyright = author

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.typer",
]
exclude_patterns = ["notebooks/*", "fragments/*"]
nitpicky = True
default_role = "py:obj"
highlight_language = "none"
suppress_warnings = ["mystnb.mime_priority"]

autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
# Types of parameters lead to their pages: classes of ours, and those of other libraries that inventories.toml names.
OUTER = ROOT / "docs" / "inventories.toml"
DEFAULT_LINKS.clear()  # `int`, `str` and the like need no page
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = inventories.aliases(
    OUTER, {page.name.rpartition(".")[2]: page.name for page in pages() if page.kind == "class"}
)
intersphinx_mapping = inventories.outer_links(OUTER, ROOT / "docs" / "_build" / "inventories")

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist", "attrs_inline"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "docs" / "_build" / "executed")
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars; the tests run tutorials and solutions with warnings as errors

html_theme = "pydata_sphinx_theme"
html_title = "bayesmdp"
html_static_path = [str(ROOT / "docs" / "_static")]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
}
copybutton_prompt_text = r">>> |\.\.\. |\$ |In \[\d*\]: "
copybutton_prompt_is_regexp = True

MATHJAX = next(
    file.locate() for file in files("sphinx-mathjax-offline") or () if str(file).endswith("mathjax/tex-svg.js")
)
html_static_path.append(str(MATHJAX))
mathjax_path = "tex-svg.js"  # with its fonts, so that pages are read without a network


def _imported(target):
    """What a dotted name stands for, or None."""
    parts = target.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            value = getattr(value, part, None)
        return value
    return None


LAST = {}
for _page in pages():
    LAST.setdefault(_page.name.rpartition(".")[2], _page)


def resolve(app, env, node, contnode):
    """Lead references to the page of what they name; to what exists and has no page they stay text; others warn."""
    if node.get("refdomain") != "py":
        return None
    from sphinx.util.nodes import make_refnode

    target = node["reftarget"].lstrip(".~")
    value = _imported(target) if "." in target else None
    page = None if value is None else page_of(value)
    short = LAST.get(target)
    if page is None and value is not None and "." in target and short is None:
        name = target.rpartition(".")[2]
        alone = getattr(value, name, None) if node["reftype"] == "mod" else None
        page = None if alone is None else page_of(alone)
    if (
        page is None
        and short is not None
        and (node["reftype"] != "obj" or short.example is not None or "_" in target or target[0].isupper())
    ):
        page = short
    if page is not None:
        return make_refnode(app.builder, node["refdoc"], page.place, "", contnode)
    if value is not None or node["reftype"] == "obj":
        return contnode
    return None


def strip_advice(app, what, name, obj, options, lines):
    """Cards show when to use a thing at their head; it is not said twice."""
    if what == "function":
        lines[:] = without_advice(lines)


def forget(app, exception):
    """Notebooks that were executed long ago are of no use to readers of the site."""
    shutil.rmtree(Path(app.outdir) / "jupyter_execute", ignore_errors=True)


def setup(app):
    app.connect("missing-reference", resolve, priority=600)  # after intersphinx
    app.connect("autodoc-process-docstring", strip_advice, priority=100)
    app.connect("build-finished", forget)
