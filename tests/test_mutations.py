"""A thousand files damaged at random, by the program that does ten thousand (mutations.py)."""

from __future__ import annotations

from pathlib import Path

from tests.mutations import Mutations

SEED = 20261128


def test_no_damaged_file_is_more_than_a_sentence_or_gives_another_figure(tmp_path: Path) -> None:
    series = Mutations(tmp_path, SEED, figures_every=100)

    failed = [mutation for mutation in series.run(range(1000)) if not mutation.passed]

    assert [f"{m.number} {m.target} {m.file}: {m.what}: {m.outcome}" for m in failed] == []
