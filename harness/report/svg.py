"""An SVG file of `canvas` as a part of an HTML page that has its own colours, light and dark."""

from __future__ import annotations

import html
import re

from harness.report.canvas import BLUE, GREEN, GREY, HOVER, INK, ORANGE, PALE, RED, SKY
from harness.results.folder import RunFolder

# The page defines these variables, once for light and once for dark.
VARIABLES = {
    BLUE: "--blue",
    ORANGE: "--orange",
    RED: "--red",
    GREEN: "--green",
    SKY: "--sky",
    INK: "--ink",
    GREY: "--grey",
    PALE: "--pale",
    "#ffffff": "--paper",
}
_HOVERED = re.compile(rf'<g id="{HOVER}([^"]+)">')
_DIGITS = re.compile(r"(\d\.\d)\d+")  # a tenth of a point is less than a screen can show
_NAME = re.compile(r' id="([^"]+)"')
_USED = re.compile(r'(?:xlink:href="#|url\(#)([^")]+)')
_PATH = re.compile(r'(?<= d=")[^"]+')


def of_run(folder: RunFolder, name: str, caption: str) -> str:
    """A figure that lies in a run folder, for a page. OSError."""
    picture = (folder.plots / f"{name}.svg").read_text(encoding="utf-8")
    # Several runs may stand on one page, and a name must be there once.
    return inline(picture, f"{folder.name}-{name}", caption)


def inline(svg: str, name: str, description: str) -> str:
    """The <svg> element alone, as wide as its place, with names and colours of the page's own.

    Two figures of one page may use one name for different things, so `name` goes before each.
    """
    element = svg[svg.find("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = _HOVERED.sub(r"<g><title>\1</title>", element)
    element = _shortened(element)
    element = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", element)
    for color, variable in VARIABLES.items():
        element = re.sub(re.escape(color), f"var({variable})", element, flags=re.IGNORECASE)
    element = re.sub(r'\b(width|height)="[\d.]+pt"\s*', "", element, count=2)
    label = html.escape(description)
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def _shortened(element: str) -> str:
    """The same picture in fewer bytes: a page of several runs is to be forwarded, too."""
    used = set(_USED.findall(element))
    element = _NAME.sub(lambda name: name[0] if name[1] in used else "", element)
    element = _PATH.sub(lambda path: " ".join(_DIGITS.sub(r"\1", path[0]).split()), element)
    element = re.sub(r" font-family: [^;\"]+;?", "", element)  # the page has its own
    return re.sub(r">\s+<", "><", element)
