"""The page of a panel's results, made from tables that were computed elsewhere, and its figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .content import PanelPage

__all__ = ["write_panel_page"]


def write_panel_page(page: PanelPage, folder: Path) -> Path:
    """Write `report.html`, one file that needs no network and no script, and `figures/NAME.svg`, `.png` and `.csv`.

    Parameters
    ----------
    page : PanelPage
        The tables and texts to show.
    folder : Path
        Made when missing.

    Returns
    -------
    Path
        The page; the same content gives the same page, byte for byte.
    """
    import crpo.report.rating
    from crpo.report.files import write_figures
    from crpo.report.rendering import rendered
    from crpo.tables import write_whole

    from .figures import pictures_of
    from .parts import page_parts

    pictures = pictures_of(page)
    written = [picture for own in pictures.values() for picture in own]
    if written:
        write_figures(written, folder / "figures")
    sheet = Path(crpo.report.rating.__file__).with_name("rating.css")
    text = rendered(Path(__file__).parent, "panel.html", [sheet], page_parts(page, pictures))
    folder.mkdir(parents=True, exist_ok=True)
    return write_whole(text.encode(), folder / "report.html")
