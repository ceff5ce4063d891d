"""One page that shows what a run found, made from tables that were computed elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .content import ReportContent

__all__ = ["render_report"]


def render_report(content: ReportContent) -> str:
    """Write the report as one HTML page that needs no network and no script.

    Parameters
    ----------
    content : ReportContent
        The tables and texts to show.

    Returns
    -------
    str
        The page; the same content gives the same page, byte for byte.

    Examples
    --------
    >>> path.write_text(render_report(content), encoding="utf-8")  # doctest: +SKIP
    """
    # matplotlib and jinja2 take a noticeable part of a second; who only imports the package need not wait for them.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from .page import page_parts

    folder = Path(__file__).parent
    pages = Environment(autoescape=True, loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True)
    # Only figures drawn here and our own style sheet go in unescaped; every other text is somebody else's.
    pages.filters.update(inline=Markup, words=lambda name: str(name).replace("_", " "))
    style = Markup((folder / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    text = pages.get_template("page.html").render(style=style, **page_parts(content))
    # A model's broken output may hold half a character, which no file can.
    return text.encode("utf-8", "replace").decode("utf-8").strip() + "\n"
