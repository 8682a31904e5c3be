"""An SVG file of `canvas` as a part of an HTML page that has its own colours, light and dark."""

from __future__ import annotations

import re

from harness.report.canvas import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, SKY

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


def inline(svg: str, name: str, description: str) -> str:
    """The <svg> element alone, as wide as its place, with names and colours of the page's own.

    Two figures of one page may use one name for different things, so `name` goes before each.
    """
    element = svg[svg.find("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", element)
    for color, variable in VARIABLES.items():
        element = re.sub(re.escape(color), f"var({variable})", element, flags=re.IGNORECASE)
    element = re.sub(r'\b(width|height)="[\d.]+pt"\s*', "", element, count=2)
    return element.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1).strip()
