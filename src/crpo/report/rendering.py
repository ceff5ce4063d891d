"""From a template and its parts to a page in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parent  # the style sheet and the macros of every page


def rendered(folder: Path, template: str, sheets: list[Path], parts: Mapping[str, Any]) -> str:
    """Return a page that needs no network and no script.

    Parameters
    ----------
    folder : Path
        Where templates are looked for first; then in `crpo/report`.
    template : str
    sheets : list of Path
        Style sheets that follow `style.css`.
    parts : mapping
        What the template names. Everything is escaped but figures, by the filter ``inline``.
    """
    # matplotlib and jinja2 take a noticeable part of a second; who only imports the package need not wait for them.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader([folder, SHARED])
    pages = Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True)
    # Only figures drawn here and our own style sheets go in unescaped; every other text is somebody else's.
    filters: dict[str, Any] = {"inline": Markup, "words": lambda name: str(name).replace("_", " ")}
    pages.filters.update(filters)
    style = Markup("".join(sheet.read_text(encoding="utf-8") for sheet in [SHARED / "style.css", *sheets]))  # noqa: S704
    page = pages.get_template(template).render(style=style, **parts)
    # A model's broken output may hold half a character, which no file can.
    return page.encode("utf-8", "replace").decode("utf-8").strip() + "\n"
