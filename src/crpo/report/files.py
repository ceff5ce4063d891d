"""Figures as files: SVG and PNG for papers and slides, and the numbers behind them as CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

from crpo.tables import separated_text

from .drawing import Picture, styled

DOTS_PER_INCH = 220  # a column of a journal is about 3.3 inches wide; this leaves over 290 there


def write_figures(pictures: Iterable[Picture], folder: Path) -> list[Path]:
    """Write every picture as NAME.svg, NAME.png and NAME.csv.

    Parameters
    ----------
    pictures : iterable of Picture
        With tables and different names.
    folder : Path
        Made when missing. Other files in it stay.

    Returns
    -------
    list of Path
        What was written; the same pictures give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in pictures:
        assert picture.table is not None, f"{picture.drawing.name} has no table"
        contents = {
            "svg": picture.drawing.file.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif").encode(
                "utf-8", "replace"
            ),
            "png": _png(picture),
            "csv": separated_text(picture.table).encode("utf-8", "replace"),
        }
        for ending, content in contents.items():
            # Into the step's own folder, which replaces the old one whole: no care for half-written files is needed.
            written.append(folder / f"{picture.drawing.name}.{ending}")
            written[-1].write_bytes(content)
    return written


def file_names(prefix: str, labels: Iterable[object]) -> list[str]:
    """Return a name for each label that is safe in any file system and in a page, and different from the others.

    Examples
    --------
    >>> file_names("weights", ["CrPO-nov λ=0.5", "../a", "a"])
    ['weights-CrPO-nov-0.5', 'weights-a', 'weights-a-2']
    """
    names: list[str] = []
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", str(label)).strip("-.")[:60]
        name = f"{prefix}-{plain}" if plain else prefix
        taken = [other.lower() for other in names]  # some file systems know no case
        number = 2
        unique = name
        while unique.lower() in taken:
            unique, number = f"{name}-{number}", number + 1
        names.append(unique)
    return names


def _png(picture: Picture) -> bytes:
    file = io.BytesIO()
    with styled(picture.drawing.name):
        picture.drawing.figure.savefig(file, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return file.getvalue()
