"""The looks that all figures share. The only module that loads matplotlib, and only to draw."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour blindness.
BLUE, ORANGE, RED, GREEN, SKY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#56B4E9"
INK, GREY, PALE = "#222222", "#666666", "#DDDDDD"
WIDTH_IN, HEIGHT_IN = 9.0, 4.5  # 10 point text is readable where this is shown 900 pixels wide
TITLE_IN, CAPTION_IN, HEADER_IN = 0.09, 0.38, 0.45  # from the top: title, caption, drawing
DOTS_PER_INCH = 150
SVG_WIDTH_IN, SVG_HEIGHT_IN = 5.2, 3.3  # 10 point text is readable where this is as wide as a phone
SVG_LEGEND_IN = 4.4  # beside the labels of the y axis
SVG_PANELS_IN = 4.8  # the height of two panels and a long legend
SVG_LABEL_LETTERS = 56  # of a line below the x axis
SVG_SIDE_LETTERS = 28  # of a line beside the y axis, below a legend of four lines
LETTER_IN, KEY_IN = 0.083, 0.57  # of a legend: a letter of 10 points, and what stands before a text
SVG_DOTS = 1200  # more take a page beyond what can be forwarded
HOVER = "hover: "  # before the name of a part of an SVG that says itself when pointed at
_SMALL = "small"
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "text.parse_math": False,  # a "$" in a path is no formula
}


def says(artist: Artist, text: str) -> None:
    """What a page shows when somebody points at this part of a figure."""
    artist.set_gid(HOVER + text)


@contextmanager
def figure_at(
    path: Path,
    title: str,
    run: str,
    height_in: float = HEIGHT_IN,
    small_in: float = SVG_HEIGHT_IN,
) -> Iterator[Figure]:
    """A figure that is written when the block ends: titled, or as SVG a small one (`svg_at`)."""
    if path.suffix == ".svg":
        with svg_at(path, small_in) as small:
            yield small
        return
    # Without pyplot: no window, no global state, and the Agg renderer whatever the machine has.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_STYLE):
        below_the_caption = ConstrainedLayoutEngine(
            rect=(0.005, 0, 0.985, 1 - HEADER_IN / height_in)
        )
        figure = Figure(figsize=(WIDTH_IN, height_in), layout=below_the_caption)
        FigureCanvasAgg(figure)
        figure.suptitle(
            title, x=0.012, y=1 - TITLE_IN / height_in, ha="left", fontsize=13, fontweight="bold"
        )
        yield figure
        caption = textwrap.shorten(run, width=118, placeholder=" ...")
        figure.text(0.012, 1 - CAPTION_IN / height_in, caption, ha="left", va="top", color=GREY)
        partial = path.with_suffix(".tmp")
        try:
            figure.savefig(partial, format="png", dpi=DOTS_PER_INCH)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def svg_at(path: Path, height_in: float = SVG_HEIGHT_IN) -> Iterator[Figure]:
    """A small figure without a title, written as SVG with its text as text when the block ends."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The same figure gives the same file: no date in it, and names that do not hang on chance.
    # Nothing is simplified: what has too many points is thinned where it is drawn, and a dot is a
    # line of no length.
    options = {"svg.fonttype": "none", "svg.hashsalt": path.stem, "path.simplify": False}
    with matplotlib.rc_context(_STYLE | options):
        figure = Figure(figsize=(SVG_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        figure.set_label(_SMALL)
        yield figure
        for axes in figure.axes:
            axes.set_xlabel(textwrap.fill(axes.get_xlabel(), SVG_LABEL_LETTERS))
            lines = axes.get_ylabel().splitlines()
            axes.set_ylabel("\n".join(textwrap.fill(line, SVG_SIDE_LETTERS) for line in lines))
        partial = path.with_suffix(".tmp")
        try:
            figure.savefig(partial, format="svg", metadata={"Date": None})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def is_small(axes: Axes) -> bool:
    """Whether the figure is one of `svg_at`, in which every point costs bytes of a page."""
    figure = axes.get_figure(root=True)
    return figure is not None and figure.get_label() == _SMALL


def dots(
    axes: Axes, x: Sequence[float], y: Sequence[float], color: str, size: float, alpha: float
) -> None:
    """A dot at each place; in a small figure at as many as it can have."""
    if not is_small(axes):
        axes.plot(x, y, ".", color=color, markersize=size, alpha=alpha)
        return
    step = -(-len(x) // SVG_DOTS)
    gap = math.nan
    places = list(zip(x[::step], y[::step], strict=True))
    # One path for all of them: a marker each is ten times as long.
    axes.plot(
        [moment for place, _ in places for moment in (place, place, gap)],
        [value for _, place in places for value in (place, place, gap)],
        color=color,
        linewidth=size / 1.6,
        alpha=alpha,
        solid_capstyle="round",
    )


def legend_above(axes: Axes, columns: int = 3, *, over_names: bool = False) -> None:
    """Above the axes it can cover no data, whatever the data are; wrapped in a small figure.

    With `over_names` it begins at the edge of a small figure, where long names leave the axes
    narrow.
    """
    keys, labels = axes.get_legend_handles_labels()
    if is_small(axes):
        letters = int((SVG_LEGEND_IN - KEY_IN) / LETTER_IN)
        labels = [textwrap.fill(label, letters) for label in labels]
        columns = _fitting(labels, columns)
    room = {"ncols": columns, "borderaxespad": 0.2, "columnspacing": 1.5, "handletextpad": 0.6}
    figure = axes.get_figure(root=True)
    if over_names and figure is not None and is_small(axes):
        figure.legend(keys, labels, loc="outside upper left", **room)
    else:
        axes.legend(keys, labels, loc="lower left", bbox_to_anchor=(0, 1.0), **room)


def _fitting(labels: Sequence[str], most: int) -> int:
    """How many columns of a legend have room in a small figure: a wider legend shrinks its axes."""
    for columns in range(min(most, len(labels)), 1, -1):
        # As matplotlib fills them: one after the other, the first with one more.
        rows, fuller = divmod(len(labels), columns)
        starts = [column * rows + min(column, fuller) for column in range(columns + 1)]
        parts = [labels[start:end] for start, end in pairwise(starts)]
        longest = sum(max(map(len, part)) for part in parts)
        if longest * LETTER_IN + columns * KEY_IN <= SVG_LEGEND_IN:
            return columns
    return 1


def thousands(axes: Axes, which: Literal["x", "y"]) -> None:
    """Writes an axis as 12,000 instead of 12000."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _position: f"{value:,.10g}")
