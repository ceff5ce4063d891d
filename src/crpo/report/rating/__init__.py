"""The page that `crpo rate` writes beside its table: what one looks for after answers were rated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .content import RatingPage

__all__ = ["render_rating_page"]


def render_rating_page(content: RatingPage) -> str:
    """Write the page about ratings as HTML that needs no network and no script.

    Parameters
    ----------
    content : RatingPage
        The tables and texts to show.

    Returns
    -------
    str
        The page; the same content gives the same page, byte for byte.

    Examples
    --------
    >>> path.write_text(render_rating_page(content), encoding="utf-8")  # doctest: +SKIP
    """
    from crpo.report.rendering import rendered

    from .page import page_parts

    folder = Path(__file__).parent
    return rendered(folder, "page.html", [folder / "rating.css"], page_parts(content))
