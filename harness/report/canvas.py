"""The looks that all figures share. The only module that loads matplotlib, and only to draw."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with every kind of colour blindness.
BLUE, ORANGE, RED, GREEN, SKY = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#56B4E9"
INK, GREY, PALE = "#222222", "#666666", "#DDDDDD"
WIDTH_IN, HEIGHT_IN = 9.0, 4.5  # 10 point text is readable where this is shown 900 pixels wide
TITLE_IN, CAPTION_IN, HEADER_IN = 0.09, 0.38, 0.45  # from the top: title, caption, drawing
DOTS_PER_INCH = 150
SVG_WIDTH_IN, SVG_HEIGHT_IN = 5.2, 3.3  # 10 point text is readable where this is as wide as a phone
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


@contextmanager
def figure_at(path: Path, title: str, run: str, height_in: float = HEIGHT_IN) -> Iterator[Figure]:
    """A titled figure that is written when the block ends."""
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
    reproducible = {"svg.fonttype": "none", "svg.hashsalt": path.stem}
    with matplotlib.rc_context(_STYLE | reproducible):
        figure = Figure(figsize=(SVG_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure
        partial = path.with_suffix(".tmp")
        try:
            figure.savefig(partial, format="svg", metadata={"Date": None})
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def legend_above(axes: Axes, columns: int = 3) -> None:
    """Above the axes it can cover no data, whatever the data are."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=columns,
        borderaxespad=0.2,
        columnspacing=1.5,
        handletextpad=0.6,
    )


def thousands(axes: Axes, which: Literal["x", "y"]) -> None:
    """Writes an axis as 12,000 instead of 12000."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(lambda value, _position: f"{value:,.10g}")
