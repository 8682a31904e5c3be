"""Ways to damage a file, each drawn from a seed: its bytes, JSON values, cells, lines of a log."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = ":::MLLOG "
PLACEHOLDER = "@raw@"
DEEP = 50_000  # brackets: more than Python's JSON reader goes down
WIDE = 150_000  # characters: more than Python's csv reader takes in a cell
# Values as they stand in a file, not as Python would write them.
RAW_VALUES = (
    "null", "true", "false", "0", "-1", "1", "3", "-5", "0.5", "1e300", "-1e300", "1e-300", "1e999",
    "-1e999", "NaN", "Infinity", "-Infinity", "99999999999999999999", "1000000000000000", "9" * 400,
    "9" * 5000, "-" + "9" * 400, '""', '" "', '"text"', '"\\ud800"', '"a|b\\nc"',
    '"2026-13-45"', '"finished"', '"offline"', '"6.1"', "[]", "[null]", "[3]",
    '["text"]', "[[]]", "{}", '{"id": 3}', '{"": null}', "[" * DEEP + "]" * DEEP,
    "[" * 300 + "]" * 300,
)  # fmt: skip
CELLS = (
    "", " ", "0", "1", "-1", "-5", "99999", "1e9", "1e300", "1e999", "NaN", "nan", "inf", "-inf",
    "9" * 400, "9" * 5000, "text", "1_000", "0x10", "½", "\u0661", '"', "1,5", "\0", "x" * WIDE,
)  # fmt: skip
BLOCK = 40  # bytes at most that are cut out, put in or repeated

Change = tuple[str, bytes]  # what was done, and the content after it


def damage(rng: random.Random, path: Path, content: bytes) -> Change:
    """A file's content with one thing in it changed: by what kind of file it is, or its bytes."""
    by_kind = {
        ".json": in_json,
        ".jsonl": in_json_lines,
        ".csv": in_cells,
        ".txt": in_log if content.startswith(MARK.encode()) else in_lines,
        ".md": in_lines,
        ".conf": in_lines,
    }
    way = by_kind.get(path.suffix)
    if way is None or rng.random() < 0.2:
        return in_bytes(rng, content)
    return way(rng, content)


def in_bytes(rng: random.Random, content: bytes) -> Change:
    """Cut short, emptied, or some bytes lost, changed, put in or repeated."""
    place = rng.randrange(len(content) + 1)
    end = min(len(content), place + rng.randint(1, BLOCK))
    random_bytes = bytes(rng.randrange(256) for _ in range(rng.randint(1, BLOCK)))
    ways: dict[str, Callable[[], bytes]] = {
        "emptied": lambda: b"",
        "cut short": lambda: content[:place],
        "without its beginning": lambda: content[place:],
        "bytes lost": lambda: content[:place] + content[end:],
        "bytes repeated": lambda: content[:end] + content[place:],
        "bytes put in": lambda: content[:place] + random_bytes + content[place:],
        "bytes changed": lambda: content[:place] + random_bytes + content[end:],
        "zeros at the end": lambda: content[:place] + bytes(len(content) - place),
        "a BOM before it": lambda: b"\xef\xbb\xbf" + content,
        "in UTF-16": lambda: content.decode(errors="replace").encode("utf-16"),
        "twice": lambda: content + content,
        "other line ends": lambda: content.replace(b"\n", b"\r\n"),
    }
    name = rng.choice(list(ways))
    return f"{name} at {place}", ways[name]()


def in_json(rng: random.Random, content: bytes) -> Change:
    """One value, key or item of a JSON file changed."""
    if rng.random() < 0.03:
        raw = rng.choice(RAW_VALUES)
        return f"all of it is {raw[:30]}", raw.encode()
    value = json.loads(content)
    if not value:
        return in_bytes(rng, content)
    said, raw = _change(rng, value)
    text = json.dumps(value, indent=2).replace(json.dumps(PLACEHOLDER), raw)
    return said, text.encode()


def in_json_lines(rng: random.Random, content: bytes) -> Change:
    """One value of one line changed."""
    lines = content.decode().splitlines()
    number = rng.randrange(len(lines))
    said, changed = in_json(rng, lines[number].encode())
    lines[number] = " ".join(changed.decode().split("\n"))
    return f"line {number + 1}: {said}", "\n".join([*lines, ""]).encode()


def _change(rng: random.Random, value: Any) -> tuple[str, str]:
    """Changes something inside, in place; what was done, and what the placeholder stands for."""
    place, key, path = _somewhere(rng, value)
    ways = ["value", "value", "value", "lost", "another"]
    if isinstance(place[key], int | float) and not isinstance(place[key], bool):
        ways += ["nudged", "nudged", "nudged"]
    way = rng.choice(ways)
    raw = rng.choice(RAW_VALUES)
    if way == "lost":
        del place[key]
    elif way == "nudged":
        place[key] = nudged(rng, place[key])
        return f"{path} is {place[key]}", raw
    elif way == "another":
        other, other_key, other_path = _somewhere(rng, value)
        place[key] = json.loads(json.dumps(other[other_key]))
        return f"{path} is {other_path}", raw
    else:
        place[key] = PLACEHOLDER
        return f"{path} is {raw[:30]}", raw
    return f"{path} is lost", raw


def nudged(rng: random.Random, number: float) -> float:
    """Another number of the same kind."""
    changed = rng.choice((number + 1, number - 1, number * 2, number / 2, number * 1.01, -number))
    return int(changed) if isinstance(number, int) else changed


def _somewhere(rng: random.Random, value: Any) -> tuple[Any, Any, str]:
    """A container within, a key or place in it, and the way there; deep ones are as likely."""
    place: Any = {"": value}
    key: Any = ""
    path = ""
    while True:
        inner = place[key]
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        place, key = inner, rng.choice(keys)
        path += f"/{key}"
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.2:
            return place, key, path


def in_cells(rng: random.Random, content: bytes) -> Change:
    """A cell or a row of a csv file changed."""
    rows = list(csv.reader(content.decode().splitlines()))
    number = 0 if rng.random() < 0.1 else rng.randrange(len(rows))
    row = rows[number]
    column = rng.randrange(len(row))
    way = rng.choice(("cell", "cell", "cell", "nudged", "lost", "twice", "longer", "shorter"))
    said = f"row {number + 1}: {way}"
    if way == "cell":
        row[column] = rng.choice(CELLS)
        said += f" {column + 1} is {row[column][:20]!r}"
    elif way == "nudged" and _is_number(row[column]):
        row[column] = f"{nudged(rng, float(row[column])):g}"
        said += f" {column + 1} is {row[column]}"
    elif way == "lost":
        del rows[number]
    elif way == "twice":
        rows.insert(number, row)
    elif way == "longer":
        row.append("1")
    else:
        row.pop()
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return said, text.getvalue().encode()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def in_log(rng: random.Random, content: bytes) -> Change:
    """An entry of LoadGen's detail log changed; half of the time one that says how it went."""
    lines = content.decode().splitlines(keepends=True)
    entries = [json.loads(line.removeprefix(MARK)) for line in lines]
    told = [n for n, entry in enumerate(entries) if entry["key"].startswith(("result_", "effec"))]
    number = rng.choice(told) if told and rng.random() < 0.5 else rng.randrange(len(lines))
    entry, way = entries[number], rng.choice(("value", "value", "value", "part", "lost", "twice"))
    said = f"{entry['key']}: {way}"
    raw = rng.choice(RAW_VALUES)
    if way == "lost":
        del lines[number]
        return said, "".join(lines).encode()
    part = rng.choice(("key", "metadata", "time_ms", "namespace")) if way == "part" else "value"
    old = entry.get(part)
    if part == "value" and isinstance(old, int | float) and not isinstance(old, bool):
        raw = rng.choice((raw, json.dumps(nudged(rng, old))))
    changed = MARK + json.dumps(entry | {part: PLACEHOLDER}) + "\n"
    line = changed.replace(json.dumps(PLACEHOLDER), raw)
    if way == "twice":
        lines.insert(number + 1, line)
    else:
        lines[number] = line
    return f"{said} {part} is {raw[:30]}", "".join(lines).encode()


def in_lines(rng: random.Random, content: bytes) -> Change:
    """A line of a text of the form `name : value` changed."""
    lines = content.decode().splitlines(keepends=True) or ["\n"]
    number = rng.randrange(len(lines))
    name, sign, _ = lines[number].partition(":" if ":" in lines[number] else "=")
    way = rng.choice(("value", "value", "lost", "twice", "swapped"))
    said = f"line {number + 1} ({name.strip()}): {way}"
    if way == "value":
        value = rng.choice((*CELLS, "VALID", "INVALID"))
        lines[number] = f"{name}{sign or ':'} {value}\n"
        said += f" is {value[:20]!r}"
    elif way == "lost":
        del lines[number]
    elif way == "twice":
        lines.insert(number, lines[number])
    else:
        other = rng.randrange(len(lines))
        lines[number], lines[other] = lines[other], lines[number]
    return said, "".join(lines).encode()
