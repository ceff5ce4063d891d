"""How a figure of the report is drawn: canvas, colours, and SVG text that is safe to put into a page many times."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours without the yellow, which is too pale on white. Twelve models differ in colour or shape.
PALETTE = ("#444444", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
INK, FAINT, GRID = "#222222", "#9a9a9a", "#e6e6e6"
BLUE, ORANGE = PALETTE[1], PALETTE[2]
WIDTH = 4.4  # inches; the page shows every figure near this size, so that its text stays as large as the page's

STYLE: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that text is measured alike on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.parse_math": False,  # a model's name may hold a dollar sign
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and copied
}


@dataclass(frozen=True)
class Picture:
    """A figure as SVG text and in words, with a note below it (or "")."""

    svg: str
    description: str
    note: str = ""


def draw(name: str, height: float, paint: Callable[[Figure], None], *, simulated: bool) -> str:
    """Paint a figure and return it as SVG text.

    Parameters
    ----------
    name : str
        Unique on the page; every id inside the figure begins with it.
    height : float
        In inches.
    paint : callable
        Draws on the figure it is given.
    simulated : bool
        Whether to write "simulation" into the figure, so that a copied figure still says it.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own font may well have it
        figure = Figure(figsize=(WIDTH, height), dpi=72, layout="constrained")
        FigureCanvasAgg(figure)
        if simulated:
            figure.text(0.99, 0.012, "simulation", ha="right", fontsize=8, color=ORANGE)
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _for_inlining(file.getvalue(), name)


def short(name: object, most: int = 30) -> str:
    """Return a name that fits into a figure."""
    text = " ".join(str(name).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def axes_of(figure: Figure, rows: int = 1) -> list[Axes]:
    """Return one column of axes with one x axis, top to bottom."""
    return list(figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0])


def _for_inlining(svg: str, name: str) -> str:
    """Drop what only a file needs (prologue, name spaces, a style for all elements) and make the ids the page's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^<>]+>", lambda tag: _tag(tag.group(), name), svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _tag(tag: str, name: str) -> str:
    tag = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"font: ([\d.]+px|[^;\"]* [\d.]+px)[^;\"]*", _font, tag)
    if tag.startswith("<svg"):
        tag = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", tag)
    return tag


def _font(style: re.Match[str]) -> str:
    """Keep size and weight, and let the page choose the typeface."""
    weight = "; font-weight: 700" if re.search(r"\b(700|bold)\b", style.group()) else ""
    return f"font-size: {style.group(1).split()[-1]}{weight}"
