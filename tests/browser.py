"""Opens pages in a headless browser and prints what came of each as JSON; a program of its own.

    python tests/browser.py light|dark PAGE [PAGE ...]
    PICTURES=/tmp python tests/browser.py dark results/latest/report.html

Each is opened as wide as a narrow phone, a tablet and a desk. The browser is Qt's Chromium,
PySide6-WebEngine from PyPI. It runs in a process of its own, because it keeps threads, and because
its window system and its theme are chosen by variables.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WIDTHS = (360, 768, 1440)
HEIGHT = 900
TALLEST = 16_000  # of a picture
TIMEOUT_MS = 60_000
SETTLE_MS = 300
PAINT_MS = 3000  # of a page in its full height
# What a reader would stumble over. A table may be wider than a phone in a box that scrolls.
LOOK = """(() => {
  const CHECKSUM = /^[\\da-f]{16,}$/;  // its letters are no word
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  const seen = element => element.offsetParent !== null || element.tagName === "BODY";
  const scrolls = element => element.closest(".wide, svg") !== null;
  const beyond = [...document.querySelectorAll("body *")].filter(element =>
    seen(element) && !scrolls(element)
    && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
  const torn = [];
  const cells = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT, {
    acceptNode: text => text.parentElement.closest("td, th, li, code") ? 1 : 3,
  });
  for (let text = cells.nextNode(); text; text = cells.nextNode())
    for (const word of text.data.matchAll(/--[a-z-]+|[\\p{L}\\d]+/gu)) {
      if (CHECKSUM.test(word[0])) continue;
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      if (new Set([...range.getClientRects()].map(box => box.top)).size > 1) torn.push(text.data);
    }
  const style = getComputedStyle(document.body);
  const below = [...document.querySelectorAll("svg text")].filter(seen => {
    const box = seen.getBoundingClientRect(), all = seen.closest("svg").getBoundingClientRect();
    return box.width && (box.left < all.left - 2 || box.right > all.right + 2
      || box.top < all.top - 2 || box.bottom > all.bottom + 2);
  });
  const button = document.querySelector("button.copy");
  const buttons = [...document.querySelectorAll("button.copy")].filter(seen).length;
  if (button) button.click();
  return JSON.stringify({
    width: document.documentElement.clientWidth,
    scroll_width: document.documentElement.scrollWidth,
    height: document.documentElement.scrollHeight,
    beyond: beyond.slice(0, 5).map(element => element.outerHTML.slice(0, 120)),
    torn: torn.slice(0, 5),
    cut_off: below.slice(0, 5).map(element => element.textContent),
    color: style.color, background: style.backgroundColor,
    heading: document.querySelector("h1").textContent,
    pictures: document.querySelectorAll("svg").length,
    buttons: buttons,
  });
})()"""
# What the button says that was clicked.
COPIED = """(document.querySelector("button.copy") || {}).textContent"""


def main(scheme: str, pages: list[str], pictures: str | None) -> None:
    """Prints a JSON list of an object for each page and width."""
    flags = "--no-sandbox --disable-gpu --blink-settings=preferredColorScheme="
    os.environ.update(
        QT_QPA_PLATFORM="offscreen",
        QT_QUICK_BACKEND="software",
        QTWEBENGINE_CHROMIUM_FLAGS=flags + {"dark": "0", "light": "1"}[scheme],
    )
    from PySide6.QtCore import QEventLoop, QTimer, QUrl
    from PySide6.QtWebEngineCore import (
        QWebEnginePage,
        QWebEngineSettings,
        QWebEngineUrlRequestInterceptor,
    )
    from PySide6.QtWebEngineWidgets import QWebEngineView
    from PySide6.QtWidgets import QApplication

    application = QApplication(sys.argv[:1])
    requests: list[str] = []
    messages: list[str] = []

    class Interceptor(QWebEngineUrlRequestInterceptor):
        def interceptRequest(self, info: Any) -> None:
            requests.append(info.requestUrl().toString())

    class Page(QWebEnginePage):
        def javaScriptConsoleMessage(self, _level: Any, text: str, *_where: Any) -> None:
            messages.append(text)

    view = QWebEngineView()
    document = Page(view)
    interceptor = Interceptor(view)
    document.setUrlRequestInterceptor(interceptor)
    # A click by a script is no click of a person's, who may always copy.
    clipboard = QWebEngineSettings.WebAttribute.JavascriptCanAccessClipboard
    document.settings().setAttribute(clipboard, True)
    view.setPage(document)
    view.show()

    def wait(begin: Callable[[Callable[[Any], None]], None]) -> Any:
        """What `begin` gives the function that it is handed, or None when that takes too long."""
        loop, got = QEventLoop(), list[Any]()

        def done(answer: Any = None) -> None:
            got.append(answer)
            loop.quit()

        begin(done)
        if not got:
            QTimer.singleShot(TIMEOUT_MS, loop.quit)
            loop.exec()
        return got[0] if got else None

    def pause(milliseconds: int) -> None:
        wait(lambda done: QTimer.singleShot(milliseconds, done))

    found = []
    for name in pages:
        path = Path(name).resolve()
        for width in WIDTHS:
            requests.clear()
            messages.clear()
            view.resize(width, HEIGHT)
            view.load(QUrl.fromLocalFile(str(path)))
            loaded = wait(document.loadFinished.connect)
            document.loadFinished.disconnect()
            pause(SETTLE_MS)
            seen = json.loads(wait(lambda done: document.runJavaScript(LOOK, done)) or "{}")
            pause(SETTLE_MS)
            seen["copied"] = wait(lambda done: document.runJavaScript(COPIED, done)) or None
            seen |= {"page": str(path), "window": width, "loaded": bool(loaded)}
            seen |= {"requests": list(requests), "messages": list(messages)}
            found.append(seen)
            if pictures:
                view.resize(width, min(int(seen["height"]), TALLEST))
                pause(PAINT_MS)
                view.grab().save(f"{pictures}/{path.parent.name}-{path.stem}-{width}-{scheme}.png")
    print(json.dumps(found))
    del application


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:], os.environ.get("PICTURES"))
    sys.stdout.flush()
    os._exit(0)  # Qt's threads do not always end by themselves
