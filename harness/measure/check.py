"""`run.py check`: whether everything is there that a run needs. No engine is loaded.

Each line asks what a run asks before it loads the engine, or what would spoil its figures. They
are asked at the same time, and one that has no answer after a while says so.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from harness.config import RunConfig
from harness.engine.plan import Site
from harness.language import phrase
from harness.machine import system as system_info
from harness.measure import check_gpus, check_inputs, check_limits, check_software
from harness.measure.check_line import DOUBTFUL, MISSING, OK, Line
from harness.terminal import Terminal

LIMIT_S = 8.0  # for all answers: a network that swallows every word must not hold them up
_STYLES = {OK: "green", DOUBTFUL: "yellow", MISSING: "bold red"}


@dataclass
class _Question:
    """Some lines, looked for in a thread of their own."""

    name: str
    look: Callable[[], Line | Sequence[Line]]
    by_network: bool = False
    lines: list[Line] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        try:
            found = self.look()
            self.lines = [found] if isinstance(found, Line) else list(found)
        except Exception as error:  # raised again by whoever asks for the answer
            self.error = error

    def answer(self, deadline: float) -> list[Line]:
        """The lines, or one that says that there was no answer in time."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self.error is not None:
            raise self.error
        if self._thread.is_alive():
            text = phrase(
                "no answer within {seconds:g} s. A run would wait for it.", seconds=LIMIT_S
            )
            if self.by_network:
                text = phrase(
                    "no answer within {seconds:g} s; see whether there is a network, and what "
                    "HTTPS_PROXY says. A run would wait for it.",
                    seconds=LIMIT_S,
                )
            return [Line(self.name, DOUBTFUL, text)]
        return self.lines


def carry_out(config: RunConfig, terminal: Terminal, *, as_json: bool) -> int:
    """Looks at everything and says what was found; 2 where something is missing, else 0."""
    lines = look(config)
    missing = sum(line.state == MISSING for line in lines)
    doubtful = sum(line.state == DOUBTFUL for line in lines)
    if as_json:
        answer = {"ready": not missing, "lines": [asdict(line) for line in lines]}
        terminal.say(json.dumps(answer, indent=2))
    else:
        rows = [(line.name, line.state, line.text) for line in lines]
        terminal.table(rows, styles=[_STYLES[line.state] for line in lines])
        terminal.say()
        terminal.say(_verdict(missing, doubtful))
    terminal.check_all_was_taken()
    return 2 if missing else 0


def look(config: RunConfig) -> list[Line]:
    """All lines, those of what a run meets first at the top."""
    deadline = time.monotonic() + LIMIT_S
    site = Site(check_software.device(), system_info.collect())
    questions = [
        _Question("Python", check_software.python),
        _Question("vLLM", lambda: check_software.vllm(site)),
        _Question(phrase("CUDA driver"), lambda: check_software.driver(site)),
        _Question("GPUs", lambda: check_software.devices(config, site)),
        _Question(phrase("GPUs' state"), lambda: check_gpus.lines(config, site)),
        _Question(phrase("limits"), lambda: check_limits.lines(config, site)),
        _Question("LoadGen", lambda: check_software.loadgen(config)),
        _Question(phrase("token"), check_inputs.token),
        _Question(phrase("model"), lambda: check_inputs.model(config, site), by_network=True),
        _Question(
            phrase("data set"),
            lambda: check_inputs.data_set(config),
            by_network=config.dataset_path is None,
        ),
        _Question("punkt_tab", lambda: check_inputs.sentence_data(config)),
        _Question(phrase("results folder"), lambda: check_inputs.results(config)),
    ]
    if config.engine_args:
        questions.append(
            _Question(phrase("engine arguments"), lambda: check_software.engine_arguments(config))
        )
    for question in questions:
        question.start()
    return [line for question in questions for line in question.answer(deadline)]


def _verdict(missing: int, doubtful: int) -> str:
    if missing:
        return phrase(
            "A run cannot begin: {missing} missing, {doubtful} doubtful.",
            missing=missing, doubtful=doubtful,
        )  # fmt: skip
    if doubtful:
        return phrase("A run can begin; {doubtful} doubtful.", doubtful=doubtful)
    return phrase("A run can begin.")
