"""Where MMLU's questions come from: the hub, its parquet files, a JSONL file, or this program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import formatting, json_text
from harness.errors import UsageError, first_line
from harness.inputs.hub_dataset import datasets_library
from harness.language import joined, phrase
from harness.mmlu.questions import LETTERS, Question, QuestionSet
from harness.mmlu.subjects import DOMAIN_OF

SAMPLE_FILE = Path(__file__).parent / "data" / "mmlu_sample.jsonl"
HUB_DATASET, HUB_CONFIG = "cais/mmlu", "all"
ASKED, SHOWN = "test", "dev"  # splits, by the hub's names
_IGNORED = {"validation", "auxiliary_train"}  # the hub's other splits
_FIELDS = ("subject", "question", "choices", "answer")


def load_questions(dataset: str, dataset_path: str | None) -> QuestionSet:
    """Every question and example there is. Raises UsageError: missing, malformed, or none."""
    if dataset == "sample":
        source = phrase("shipped with this program")
        return _from_jsonl(SAMPLE_FILE, "--dataset sample", "sample", source)
    if dataset_path is None:
        return _from_hub()
    path, flag = Path(dataset_path).expanduser(), f"--dataset-path {dataset_path}"
    if path.is_dir():
        return _from_parquet(path, flag)
    if not path.is_file():
        raise UsageError(
            f"{flag}: there is no such file or folder; give {HUB_DATASET}'s parquet files in a "
            "folder, or a JSONL file."
        )
    return _from_jsonl(path, flag, path.name, str(path))


def _from_jsonl(path: Path, flag: str, name: str, source: str) -> QuestionSet:
    """One object a line, with subject, question, choices, answer and split."""
    rows: dict[str, list[tuple[str, Any]]] = {ASKED: [], SHOWN: []}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{flag}: the file cannot be read ({first_line(error)}).") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = phrase("line {number}", number=number)
        try:
            row = json_text.loads(line)
        except ValueError as error:
            raise UsageError(
                phrase(
                    "{flag}: {place} is not JSON ({error}); each line holds one object with "
                    "{fields} and split.",
                    flag=flag, place=place, error=first_line(error), fields=", ".join(_FIELDS),
                )
            ) from None  # fmt: skip
        split = _split_of(flag, place, row)
        if split in rows:
            rows[split].append((place, row))
    return _question_set(flag, name, source, rows[ASKED], rows[SHOWN])


def _split_of(flag: str, place: str, row: Any) -> str:
    """The split that a line belongs to, one that is not used included."""
    if not isinstance(row, Mapping):
        raise UsageError(
            phrase(
                "{flag}: {place} is not an object; each line holds one with {fields} and split.",
                flag=flag, place=place, fields=", ".join(_FIELDS),
            )
        )  # fmt: skip
    split = row.get("split")
    if not isinstance(split, str) or split not in {ASKED, SHOWN, *_IGNORED}:
        found = phrase("no split") if split is None else phrase("the split {split!r}", split=split)
        raise UsageError(
            phrase(
                "{flag}: {place} has {found}; {asked} (asked) or {shown} (shown as an example) is "
                "needed.",
                flag=flag, place=place, found=found, asked=ASKED, shown=SHOWN,
            )
        )  # fmt: skip
    return split


def _from_parquet(folder: Path, flag: str) -> QuestionSet:
    """The hub's files as they came: all/test-*.parquet, or a folder for each subject."""
    import pyarrow
    import pyarrow.parquet

    whole = folder / HUB_CONFIG if (folder / HUB_CONFIG).is_dir() else folder
    folders = [whole] if list(whole.glob("*.parquet")) else sorted(whole.iterdir())
    rows: dict[str, list[tuple[str, Any]]] = {ASKED: [], SHOWN: []}
    for each in folders:
        for split, found in rows.items():
            for path in sorted(each.glob(f"{split}-*.parquet")):
                place = str(path.relative_to(folder))
                try:
                    table = pyarrow.parquet.read_table(path).to_pylist()
                except (OSError, ValueError, pyarrow.ArrowException) as error:
                    raise UsageError(
                        f"{flag}: {place} is no parquet file ({first_line(error)}); download it "
                        "again."
                    ) from None
                for number, row in enumerate(table):
                    row.setdefault("subject", each.name)
                    found.append(
                        (phrase("row {number} of {place}", number=number, place=place), row)
                    )
    if not rows[ASKED]:
        raise UsageError(
            f"{flag}: the folder has no {HUB_CONFIG}/{ASKED}-*.parquet and no folders of subjects "
            f"with {ASKED}-*.parquet; give {HUB_DATASET} as the hub has it."
        )
    source = phrase("the folder {folder}", folder=folder)
    return _question_set(flag, "mmlu", source, rows[ASKED], rows[SHOWN])


def _from_hub() -> QuestionSet:
    datasets = datasets_library(HUB_DATASET)
    rows: dict[str, list[tuple[str, Any]]] = {}
    for split in (ASKED, SHOWN):
        try:
            loaded = datasets.load_dataset(HUB_DATASET, HUB_CONFIG, split=split)
        except Exception as error:  # the library raises whatever the files lead it to
            raise UsageError(
                f"--dataset mmlu: {HUB_DATASET} is not on this machine and cannot be had from the "
                f"hub ({first_line(error)}); give --dataset-path FOLDER with its parquet files, or "
                "use --dataset sample."
            ) from error
        rows[split] = [
            (phrase("row {number} of {place}", number=number, place=split), row)
            for number, row in enumerate(loaded)
        ]
    source = phrase("{dataset} from the hub", dataset=HUB_DATASET)
    return _question_set("--dataset mmlu", "mmlu", source, rows[ASKED], rows[SHOWN])


def _question_set(
    flag: str,
    name: str,
    source: str,
    asked: Iterable[tuple[str, Any]],
    shown: Iterable[tuple[str, Any]],
) -> QuestionSet:
    questions = _numbered(flag, asked)
    if not questions:
        raise UsageError(f"{flag}: there are no questions (split {ASKED}); give a file with some.")
    examples: dict[str, list[Question]] = {}
    for example in _numbered(flag, shown):
        examples.setdefault(example.subject, []).append(example)
    # Sorted by subject as the hub has them, so that the order of the subset is that of any source.
    questions.sort(key=lambda one: (one.subject, one.number))
    by_subject = {subject: tuple(found) for subject, found in examples.items()}
    return QuestionSet(name, source, tuple(questions), by_subject, len(questions))


def _numbered(flag: str, rows: Iterable[tuple[str, Any]]) -> list[Question]:
    """Checks each row; a question's number is its place among those of its subject."""
    counts: dict[str, int] = {}
    found: list[Question] = []
    for place, row in rows:
        _check(flag, place, row)
        subject = row["subject"]
        choices = tuple(row["choices"])
        found.append(
            Question(subject, counts.get(subject, 0), row["question"], choices, row["answer"])
        )
        counts[subject] = counts.get(subject, 0) + 1
    return found


def _check(flag: str, place: str, row: Mapping[str, Any]) -> None:
    """Raises UsageError with the place and what is wrong there."""

    def refuse(what: str, way_out: str = phrase("correct the file")) -> UsageError:
        return UsageError(joined("", (f"{flag}: ", place, " ", what, "; ", way_out, ".")))

    absent = [name for name in _FIELDS if row.get(name) is None]
    if absent:
        raise refuse(
            phrase("has no {field}", field=absent[0]),
            phrase("each question needs {fields}", fields=", ".join(_FIELDS)),
        )
    subject, question, choices, answer = (row[name] for name in _FIELDS)
    if not isinstance(subject, str) or subject not in DOMAIN_OF:
        raise refuse(
            phrase(
                "has the subject {subject!r}, which is none of MMLU's {count}",
                subject=subject,
                count=len(DOMAIN_OF),
            ),
            phrase("use the hub's names, such as high_school_physics"),
        )
    if not isinstance(question, str) or not question.strip():
        raise refuse(phrase("has an empty question"))
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise refuse(phrase("has choices that are not a list of texts"))
    if len(choices) != len(LETTERS):
        raise refuse(
            phrase("has {count} choices", count=formatting.count(len(choices))),
            phrase("{count} are needed", count=len(LETTERS)),
        )
    if type(answer) is not int or not 0 <= answer < len(LETTERS):
        raise refuse(
            phrase("has the answer {answer!r}", answer=answer),
            phrase("a whole number from 0 (the first choice) to 3 is needed"),
        )
