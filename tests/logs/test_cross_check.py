"""Records of one test that contradict each other are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.cross_check import cross_check
from harness.logs.detail import read_detail_log, read_summary_log
from harness.logs.times import read_samples, write_samples
from harness.metrics import SampleTimes
from harness.results.folder import DETAIL_LOG, SUMMARY_LOG
from tests.builders import DATA, edit, logged, performance


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_two_logs_that_disagree_on_validity_are_refused(run_dir: Path) -> None:
    edit(run_dir / "Performance" / SUMMARY_LOG, "Result is : VALID", "Result is : INVALID")
    with pytest.raises(LogError, match="the detail log says VALID, the summary log INVALID"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_detail_log_without_a_verdict_is_not_said_to_hold_one(run_dir: Path) -> None:
    edit(run_dir / "Performance" / DETAIL_LOG, '"result_validity"', '"result_validities"')
    with pytest.raises(LogError, match="the detail log says nothing, the summary log VALID"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["server-valid", "singlestream-valid"], indirect=True)
def test_a_token_count_that_loadgen_did_not_see_is_refused(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    lines = samples.read_text().splitlines()
    index, *times, tokens = lines[1].split(",")
    lines[1] = ",".join([index, *times, str(int(tokens) + 2)])
    samples.write_text("\n".join(lines) + "\n")
    with pytest.raises(LogError, match="tokens, LoadGen's rates to about"):
        performance(run_dir)


@pytest.mark.parametrize(
    "run_dir", ["offline-valid", "server-valid", "singlestream-valid"], indirect=True
)
def test_a_sample_too_few_in_the_sample_times_is_refused(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LogError, match="they are not of the same test"):
        performance(run_dir)


def edit_last_sample(run_dir: Path, column: int, text: str) -> None:
    samples = run_dir / "samples.csv"
    lines = samples.read_text().splitlines()
    cells = lines[-1].split(",")
    cells[column] = text
    lines[-1] = ",".join(cells)
    samples.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "run_dir", ["offline-valid", "server-valid", "singlestream-valid"], indirect=True
)
@pytest.mark.parametrize(
    ("completed_s", "words"),
    [
        ("99999", "the last answer at 99,999.000 s, LoadGen at"),
        ("-5", "impossible order"),
        ("nan", "is damaged"),
        ("inf", "is damaged"),
    ],
)
def test_times_that_loadgen_did_not_see_are_refused(
    run_dir: Path, completed_s: str, words: str
) -> None:
    edit_last_sample(run_dir, 3, completed_s)
    with pytest.raises(LogError, match=words):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["singlestream-slow"], indirect=True)
def test_the_last_query_of_a_slow_engine_is_answered_after_loadgen_s_rate_ends(
    run_dir: Path,
) -> None:
    issued_s = 3 / logged(run_dir, "result_qps_with_loadgen_overhead")

    assert performance(run_dir).duration_s == pytest.approx(issued_s + 12, abs=0.1)


@pytest.mark.parametrize("run_dir", ["singlestream-slow"], indirect=True)
def test_the_last_query_takes_no_longer_than_the_slowest(run_dir: Path) -> None:
    edit_last_sample(run_dir, 3, "54.5")  # of 12 s each, four take 48
    with pytest.raises(LogError, match=r"the last answer at 54\.500 s, LoadGen at 48\.\d"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["singlestream-slow"], indirect=True)
def test_the_last_answer_does_not_come_before_the_last_query(run_dir: Path) -> None:
    samples = [
        dataclasses.replace(
            sample,
            issued_s=sample.issued_s / 2,
            first_token_s=(sample.first_token_s or 0.0) / 2,
            completed_s=sample.completed_s / 2,
        )
        for sample in read_samples(run_dir / "samples.csv")
    ]
    write_samples(run_dir / "samples.csv", samples)
    with pytest.raises(LogError, match=r"the last answer at 24\.\d+ s, LoadGen at 36\.\d"):
        performance(run_dir)


def make_a_query_take_20_s(run_dir: Path) -> None:
    """The first of a Server test, in both of LoadGen's logs and in samples.csv."""
    slowest_ns = f"{logged(run_dir, 'result_max_latency_ns')}"
    for name in (DETAIL_LOG, SUMMARY_LOG):
        edit(run_dir / "Performance" / name, slowest_ns, "20000000000")
    samples = run_dir / "samples.csv"
    header, first, *others = samples.read_text().splitlines()
    index, issued, first_token, _, tokens = first.split(",")
    first = ",".join((index, issued, first_token, "20.0", tokens))
    samples.write_text("\n".join((header, first, *others)) + "\n")


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
def test_an_answer_may_come_after_that_to_the_last_query(run_dir: Path) -> None:
    make_a_query_take_20_s(run_dir)

    assert performance(run_dir).duration_s == 20.0


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
def test_no_answer_comes_later_than_the_slowest_could(run_dir: Path) -> None:
    make_a_query_take_20_s(run_dir)
    edit_last_sample(run_dir, 3, "26")  # it was due after half a second
    with pytest.raises(LogError, match=r"the last answer at 26\.000 s, LoadGen at 20\.5"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
@pytest.mark.parametrize(("column", "text"), [(1, "-9"), (1, "9999"), (2, "9999"), (2, "-1")])
def test_an_impossible_order_of_times_is_refused(run_dir: Path, column: int, text: str) -> None:
    edit_last_sample(run_dir, column, text)
    with pytest.raises(LogError, match="impossible order"):
        performance(run_dir)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("result_mean_latency_ns", "the mean answer"),
        ("result_max_latency_ns", "the slowest answer"),
        ("result_completed_samples_per_sec", "the last answer"),
    ],
)
def test_times_far_from_loadgen_s_own_are_refused(name: str, words: str) -> None:
    folder = DATA / "server-valid"
    run = read_detail_log(folder / "Performance" / DETAIL_LOG)
    summary = read_summary_log(folder / "Performance" / SUMMARY_LOG)
    samples = [
        SampleTimes(s.sample_index, s.issued_s, s.first_token_s, s.completed_s + 20, s.tokens)
        for s in read_samples(folder / "samples.csv")
    ]
    names = ("result_mean_latency_ns", "result_max_latency_ns", "result_completed_samples_per_sec")
    kept = {name}
    if name == "result_completed_samples_per_sec":  # how long after it an answer may come
        kept.add("result_max_latency_ns")
    known = {key: value for key, value in run.results.items() if key not in names or key in kept}
    # Of the summary log what the detail log here still holds.
    left_out = ("latency (ns)", "samples per second")
    summary = {key: value for key, value in summary.items() if not key.endswith(left_out)}
    with pytest.raises(LogError, match=words):
        cross_check(dataclasses.replace(run, results=known), summary, samples, folder)


@pytest.mark.parametrize(
    ("run_dir", "key"),
    [
        ("offline-valid", "result_tokens_per_second"),
        ("server-valid", "result_completed_tokens_per_second"),
        ("singlestream-valid", "result_90.00_percentile_latency_ns"),
    ],
    indirect=["run_dir"],
)
def test_two_figures_for_one_result_are_refused(run_dir: Path, key: str) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    edit(detail, f'"key": "{key}", "value": ', f'"key": "{key}", "value": 1')
    with pytest.raises(LogError, match="disagree: the detail log gives"):
        performance(run_dir)


@pytest.mark.parametrize(
    ("run_dir", "key"),
    [
        ("offline-valid", "result_samples_per_second"),
        ("server-valid", "result_completed_samples_per_sec"),
        ("singlestream-valid", "result_qps_with_loadgen_overhead"),
    ],
    indirect=["run_dir"],
)
@pytest.mark.parametrize(("new", "found"), [('"{}"', "[0-9.e+]+"), ('"something_else"', "nothing")])
def test_two_rates_of_samples_are_refused(run_dir: Path, key: str, new: str, found: str) -> None:
    old, changed = f'"key": "{key}", "value": ', f'"key": {new.format(key)}, "value": 1'
    edit(run_dir / "Performance" / DETAIL_LOG, old, changed)
    with pytest.raises(LogError, match=f"the detail log gives {found} for {key}"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
def test_two_target_rates_are_refused(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    edit(detail, '"effective_target_qps", "value": 1000', '"effective_target_qps", "value": 999')
    with pytest.raises(LogError, match="gives 999 for target_qps, the summary log 1000"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_whatever_stands_in_a_log_the_sentence_on_it_has_one_line(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    key = '"result_mean_latency_ns", "value": '
    edit(detail, f"{key}368148", f'{key}"a\\n368148"')
    with pytest.raises(LogError, match=r"the detail log gives 'a.*368148' for") as refused:
        performance(run_dir)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "run_dir", ["offline-valid", "server-valid", "singlestream-valid"], indirect=True
)
def test_a_summary_log_that_was_cut_off_is_refused(run_dir: Path) -> None:
    summary = run_dir / "Performance" / SUMMARY_LOG
    text = summary.read_text()
    summary.write_text(text[: text.index("performance_sample_count")])
    with pytest.raises(LogError, match="performance_sample_count, the summary log nothing"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["server-valid", "singlestream-valid"], indirect=True)
@pytest.mark.parametrize(
    "key",
    [
        "result_99.00_percentile_latency_ns",
        "result_first_token_99.00_percentile_latency_ns",
        "result_time_per_output_token_99.00_percentile_ns",
        "result_mean_latency_ns",
    ],
)
def test_a_latency_that_only_the_summary_log_has_is_refused(run_dir: Path, key: str) -> None:
    edit(run_dir / "Performance" / DETAIL_LOG, f'"{key}"', '"something_else"')
    with pytest.raises(LogError, match=f"nothing for {key}"):
        performance(run_dir)


@pytest.mark.parametrize(
    ("run_dir", "key"),
    [
        ("offline-valid", "generated_samples_per_query"),
        ("server-valid", "generated_samples_per_query"),
        ("singlestream-valid", "generated_samples_per_query"),
    ],
    indirect=["run_dir"],
)
def test_samples_that_are_not_those_of_the_queries_and_the_rate_are_refused(
    run_dir: Path, key: str
) -> None:
    log = run_dir / "Performance" / DETAIL_LOG
    (run_dir / "samples.csv").unlink()  # which would be another contradiction
    edit(log, f'"key": "{key}", "value": ', f'"key": "{key}", "value": 3')
    with pytest.raises(LogError, match=r"contradicts itself: it issued [\d,]+ samples, and by"):
        performance(run_dir)
