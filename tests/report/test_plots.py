"""What the figures show, seen on matplotlib's own objects, and that they reach the disk."""

from __future__ import annotations

import dataclasses
import itertools
import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from harness.metrics import TimelinePoint
from harness.report import plots
from harness.report.svg import inline
from tests.report.conftest import legend

RUN = "20261123-141500-datacenter-offline: Offline, demo, bf16, 20 samples"


def timeline(moments: Sequence[tuple[float, int]]) -> list[TimelinePoint]:
    return [TimelinePoint(time_s, tokens, 0, 0) for time_s, tokens in moments]


def scores(share: float) -> list[plots.GatedScore]:
    references = {"rouge1": 38.7792, "rouge2": 15.9075, "rougeL": 24.4957, "rougeLsum": 35.793}
    return [plots.GatedScore(n, share * ref, 0.99 * ref, ref) for n, ref in references.items()]


def bars(count: int) -> list[plots.HistoryRun]:
    kinds: tuple[plots.Kind, ...] = ("full", "smoke", "invalid")
    return [
        plots.HistoryRun(
            f"2026-11-{1 + x % 28:02d}T10:00:00+00:00", 1000.0 + x, kinds[x % 3], x == count - 1
        )
        for x in range(count)
    ]


def test_figure_is_a_png_that_can_be_read_900_pixels_wide(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert plots.tokens_per_sec(path, timeline([(1, 10), (2, 30)]), mean=15.0, run=RUN)
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    assert width >= 900 and height >= 450
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_figure_that_breaks_off_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")

    def full_disk(_figure: Figure, partial: Path, **_options: object) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(OSError):
        plots.tokens_per_sec(path, timeline([(1, 10)]), mean=None, run=RUN)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not plots.tokens_per_sec(path, [], mean=1.0, run=RUN)
    assert not plots.tokens_per_sec(path, timeline([(0, 0)]), mean=1.0, run=RUN)
    assert not plots.rouge_vs_threshold(path, [], None, gate=0.99, run=RUN)
    assert not plots.answer_lengths(path, [], max_new_tokens=128, run=RUN)
    assert not plots.history(path, bars(1), run=RUN)
    assert not path.exists()


@pytest.mark.parametrize("count", [1, 20])
def test_few_samples_can_be_drawn(tmp_path: Path, drawn: list[Figure], count: int) -> None:
    path = tmp_path / "a.png"
    moments = timeline([(0.5 * (x + 1), 100 * (x + 1)) for x in range(count)])
    assert plots.tokens_per_sec(path, moments, mean=200.0, run=RUN)
    assert plots.answer_lengths(path, [128] * count, max_new_tokens=128, run=RUN)
    assert len(drawn) == 2


def test_every_figure_says_what_it_shows_and_for_which_run(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    path = tmp_path / "a.png"
    plots.tokens_per_sec(path, timeline([(1, 10)]), mean=10.0, run=RUN)
    plots.rouge_vs_threshold(path, scores(1), plots.LengthShare(1, 0.9, 1.1), gate=0.99, run=RUN)
    plots.answer_lengths(path, [128], max_new_tokens=128, run=RUN)
    plots.history(path, bars(3), run=RUN)
    assert len(drawn) == 4
    for figure in drawn:
        assert figure.get_suptitle()
        assert RUN in [text.get_text() for text in figure.texts]
        assert figure.axes[-1].get_xlabel() or figure.axes[0].get_ylabel() == "tokens per second"


def test_rates_are_the_differences_of_the_timeline() -> None:
    edges, rates = plots.binned_rates(timeline([(0.0, 0), (1.0, 50), (2.0, 150), (4.0, 150)]))
    assert edges == [0.0, 1.0, 2.0, 4.0]
    assert rates == [50.0, 100.0, 0.0]


def test_many_moments_become_at_most_200_bins_that_lose_no_token() -> None:
    rng = random.Random(0)
    time_s, tokens, moments = 0.0, 0, []
    for _ in range(5000):
        time_s, tokens = time_s + rng.uniform(0.05, 0.2), tokens + rng.randrange(2000)
        moments.append((time_s, tokens))
    edges, rates = plots.binned_rates(timeline(moments))
    assert 150 < len(rates) <= 200
    widths = [right - left for left, right in itertools.pairwise(edges)]
    assert sum(r * w for r, w in zip(rates, widths, strict=True)) == pytest.approx(tokens)
    assert edges[-1] == time_s


def test_a_rest_at_the_end_is_part_of_the_bin_before_it() -> None:
    moments = [(1.0, 100), (2.0, 200), (3.0, 300), (3.1, 400)]
    edges, rates = plots.binned_rates(timeline(moments), max_bins=3)
    assert edges == [0.0, 2.0, 3.1]
    assert rates == pytest.approx([100.0, 200 / 1.1])


def test_mean_line_is_loadgens_figure(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.tokens_per_sec(tmp_path / "a.png", timeline([(1, 10), (2, 30)]), mean=1234.0, run=RUN)
    axes = drawn[0].axes[0]
    assert legend(axes) == ["LoadGen's figure for the whole run: 1,234 tokens/s"]
    assert axes.get_ylim()[1] > 1234  # the line is on the picture


def test_missed_gate_has_another_mark_than_a_passed_one(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    passed, missed = scores(1.0), scores(0.98)
    plots.rouge_vs_threshold(
        tmp_path / "a.png",
        [*passed[:2], *missed[2:]],
        plots.LengthShare(0.89, 0.9, 1.1),
        gate=0.99,
        run=RUN,
    )
    upper, lower = drawn[0].axes
    markers = [line.get_marker() for line in upper.get_lines() if line.get_marker() != "None"]
    assert markers == ["o", "o", "X", "X"]
    assert "X" in [line.get_marker() for line in lower.get_lines()]
    assert legend(upper) == ["gate (99 %)", "reference (100 %)"]
    labels = [label.get_text() for label in upper.get_yticklabels()]
    assert labels[0] == "rouge1   38.78 %\ngate 38.39 %"


def test_values_far_below_the_gate_are_on_the_picture_too(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    for share in (0.1, 0.98, 1.2):
        plots.rouge_vs_threshold(tmp_path / "a.png", scores(share), None, gate=0.99, run=RUN)
        left, right = drawn[-1].axes[0].get_xlim()
        assert left <= 100 * share <= right and left < 99 < 100 < right


def test_answers_that_reach_the_limit_are_counted(tmp_path: Path, drawn: list[Figure]) -> None:
    plots.answer_lengths(tmp_path / "a.png", [128, 128, 127, 5], max_new_tokens=128, run=RUN)
    axes = drawn[0].axes[0]
    assert legend(axes) == ["longest allowed: 128 tokens (2 of 4 answers reach it)"]
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert sum(heights) == 4


def test_history_of_forty_runs_marks_this_one_and_names_the_newest(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plots.history(tmp_path / "a.png", bars(60), run=RUN)
    axes = drawn[0].axes[0]
    assert legend(axes) == ["full size, VALID", "smoke run", "INVALID"]
    assert len(axes.patches) == plots.MAX_HISTORY + 1  # one outline: this run
    assert [text.get_text() for text in axes.texts] == ["this run\n1,059"]
    assert axes.get_xticks()[-1] == plots.MAX_HISTORY - 1
    assert len(axes.get_xticks()) <= 12


def test_the_bars_of_slow_engines_say_more_than_nought(tmp_path: Path, drawn: list[Figure]) -> None:
    slow = [dataclasses.replace(bar, tokens_per_second=0.42) for bar in bars(2)]
    plots.history(tmp_path / "a.png", slow, run=RUN)
    assert {text.get_text() for text in drawn[0].axes[0].texts} == {"0.42", "this run\n0.42"}


def test_the_parts_of_a_figure_say_their_values_when_pointed_at(tmp_path: Path) -> None:
    path = tmp_path / "lengths.svg"
    plots.answer_lengths(path, [5, 5, 128], max_new_tokens=128, run="a <run>")

    text = inline(path.read_text(), "a", "answer lengths")

    assert "<g><title>answers of 5 to 6 tokens: 2</title><path" in text
    assert "<g><title>answers of 127 to 128 tokens: 1</title><path" in text
    assert "hover: " not in text


def test_a_history_says_each_run_when_pointed_at(tmp_path: Path) -> None:
    path = tmp_path / "history.svg"
    runs = [
        plots.HistoryRun(
            finished="2026-11-23T14:15:00", tokens_per_second=7570.0, kind="full", this_run=False
        ),
        plots.HistoryRun(
            finished="2026-11-24T14:15:00", tokens_per_second=59.1, kind="smoke", this_run=True
        ),
    ]
    plots.history(path, runs, run="a run")

    text = inline(path.read_text(), "a", "history")

    for said in ("7,570 tokens/s, full size, VALID", "59.1 tokens/s, smoke run", "this run: 59.1"):
        assert f"<title>{said}" in text
