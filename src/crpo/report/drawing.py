"""How a figure of the report is drawn: canvas, colours, and SVG text that is safe to put into a page many times."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

# Okabe and Ito's colours without the yellow, which is too pale on white. Twelve models differ in colour or shape.
PALETTE = ("#444444", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
INK, FAINT, GRID, OTHERS, GROUND = "#222222", "#9a9a9a", "#e6e6e6", "#cfcfcf", "#ffffff"
BLUE, ORANGE = PALETTE[1], PALETTE[2]
WIDTH = 4.4  # inches; the page shows every figure near this size, so that its text stays as large as the page's
WIDE = 9.2

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
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.parse_math": False,  # a model's name may hold a dollar sign
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and copied
}


def ink_of(colour: str) -> str:
    """Return a colour dark enough for text on white, and still the colour's own."""
    red, green, blue = to_rgb(colour)
    return to_hex((0.5 * red, 0.5 * green, 0.5 * blue))


# Inside a page the style sheet says what these are, so that a figure follows the page into the dark and onto paper.
NAMED = {
    **{colour.lower(): f"mark-{place}" for place, colour in enumerate(PALETTE)},
    **{ink_of(colour): f"text-{place}" for place, colour in enumerate(PALETTE)},
    **{INK: "ink", FAINT: "faint", GRID: "grid", OTHERS: "others", GROUND: "ground"},
}


@dataclass(frozen=True)
class Drawing:
    """A painted figure: as SVG text for a page (``svg``), as the text of a file (``file``), and itself."""

    name: str
    svg: str
    file: str
    figure: Figure


@dataclass(frozen=True)
class Picture:
    """A figure with its words.

    Attributes
    ----------
    drawing : Drawing
    description : str
        What it shows, for those who cannot see it.
    note : str
        What it does not show, and why; or "".
    caption : str
        What it shows, of how many, and what its intervals are; or "".
    table : DataFrame or None
        The numbers drawn.
    wide : bool
        Whether it takes the page's whole width.
    """

    drawing: Drawing
    description: str
    note: str = ""
    caption: str = ""
    table: pd.DataFrame | None = None
    wide: bool = False

    @property
    def svg(self) -> str:
        """The figure as SVG text for a page."""
        return self.drawing.svg


@contextmanager
def styled(name: str) -> Iterator[None]:
    """Set the style for the time a figure is painted or written."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own font may well have it
        yield


def draw(
    name: str, height: float, paint: Callable[[Figure], None], *, simulated: bool, width: float = WIDTH
) -> Drawing:
    """Paint a figure.

    Parameters
    ----------
    name : str
        Unique on the page, letters, digits, dots and hyphens; every id inside the figure begins with it.
    height, width : float
        In inches.
    paint : callable
        Draws on the figure it is given.
    simulated : bool
        Whether to write "simulation" into the figure, so that a copied figure still says it.
    """
    with styled(name):
        figure = Figure(figsize=(width, height), dpi=72, layout="constrained")
        FigureCanvasAgg(figure)
        if simulated:
            figure.text(0.99, 0.012, "simulation", ha="right", fontsize=8, color=ORANGE)
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        figure.set_layout_engine("none")  # laid out once; a second drawing of it need not begin anew
    text = file.getvalue()
    return Drawing(name, _for_inlining(text, name), text, figure)


def short(name: object, most: int = 30) -> str:
    """Return a name that fits into a figure."""
    text = " ".join(str(name).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def axes_of(figure: Figure, rows: int = 1) -> list[Axes]:
    """Return one column of axes with one x axis, top to bottom."""
    return list(figure.subplots(rows, 1, squeeze=False, sharex=True)[:, 0])


def say(axes: Axes, words: str) -> None:
    """Write words in place of data."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, words, color=INK, ha="center", va="center", transform=axes.transAxes)


def _for_inlining(svg: str, name: str) -> str:
    """Drop what only a file needs (prologue, name spaces, a style for all elements) and make the ids the page's own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<[^<>]+>", lambda tag: _tag(tag.group(), name), svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _tag(tag: str, name: str) -> str:
    if tag.startswith("<g ") and "figure_1" not in tag:
        tag = re.sub(r' id="[^"]*"', "", tag)  # nothing points to groups, and there are very many
    tag = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    tag = re.sub(r"(\d\.\d\d)\d+", r"\1", tag)  # a hundredth of a point is enough for any screen
    tag = re.sub(r"font: ([\d.]+px|[^;\"]* [\d.]+px)[^;\"]*", _font, tag)
    tag = re.sub(r"(?<=: )#[0-9a-f]{6}\b", _colour, tag)
    if tag.startswith("<svg"):
        tag = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", tag)
    return tag


def _font(style: re.Match[str]) -> str:
    """Keep size and weight, and let the page choose the typeface."""
    weight = "; font-weight: 700" if re.search(r"\b(700|bold)\b", style.group()) else ""
    return f"font-size: {style.group(1).split()[-1]}{weight}"


def _colour(style: re.Match[str]) -> str:
    """Name a colour of ours; the colours of cells, which say a number, stay what they are."""
    return f"var(--figure-{NAMED[style.group()]})" if style.group() in NAMED else style.group()
