"""One page that shows what a run found, made from tables that were computed elsewhere, and its figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .content import ReportContent
    from .gallery import Gallery

__all__ = ["render_report", "write_report"]


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
    from .gallery import gallery

    return _page(content, gallery(content))


def write_report(content: ReportContent, folder: Path) -> Path:
    """Write `report.html` and, for each of its figures, `figures/NAME.svg`, `.png` and `.csv`.

    Parameters
    ----------
    content : ReportContent
        The tables and texts to show.
    folder : Path
        Made when missing.

    Returns
    -------
    Path
        The page.

    Examples
    --------
    >>> write_report(content, Path("runs/demo/report"))  # doctest: +SKIP
    """
    from crpo.tables import write_whole

    from .files import write_figures
    from .gallery import gallery

    drawn = gallery(content)
    write_figures(drawn.pictures, folder / "figures")
    return write_whole(_page(content, drawn).encode(), folder / "report.html")


def _page(content: ReportContent, drawn: Gallery) -> str:
    from .page import page_parts
    from .rendering import SHARED, rendered

    return rendered(SHARED, "page.html", [], page_parts(content, drawn))
