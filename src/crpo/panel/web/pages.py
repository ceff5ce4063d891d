"""Templates, style and the little script."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup

HERE = Path(__file__).parent


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """Return a page; every value is escaped but `Markup`."""
    return _templates().get_template(template).render(**values)


def from_markdown(text: str) -> Markup:
    """Return the researcher's Markdown as HTML; HTML written in it is shown as text."""
    return Markup(MarkdownIt("commonmark", {"html": False}).render(text))  # noqa: S704 - the renderer escapes


@functools.cache
def static_files() -> dict[str, tuple[str, bytes]]:
    """Return media type and content of the files that pages name."""
    return {
        "style.css": ("text/css", (HERE / "style.css").read_bytes()),
        "keys.js": ("text/javascript", (HERE / "keys.js").read_bytes()),
        "refresh.js": ("text/javascript", (HERE / "refresh.js").read_bytes()),
        "favicon.ico": ("image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),  # browsers ask for one
    }
