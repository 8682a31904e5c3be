"""What Ray says of an engine that did not start, in one sentence with the machine.

data/ holds real texts of Ray 2.55.1: a store of torch's whose port was in use, in a
worker on a second node, and a process there that was killed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.engine import causes, life, ray_causes
from harness.errors import EngineError

DATA = Path(__file__).parent / "data"
PORT_IN_USE = (
    "torch.distributed.DistNetworkError: The server socket has failed to listen on any local "
    "network address. port: 55201, useIpv6: false, code: -98, name: EADDRINUSE, message: address "
    "already in use on 127.0.0.3"
)


def said(name: str) -> str:
    return (DATA / f"ray-{name}.txt").read_text(encoding="utf-8")


def test_of_nested_tracebacks_the_innermost_error_is_told_with_its_machine() -> None:
    assert "\x1b[" in said("port-in-use")  # the text is as Ray made it

    assert ray_causes.of_ray(said("port-in-use")) == PORT_IN_USE


def test_a_process_that_was_killed_on_another_machine_is_named() -> None:
    assert ray_causes.of_ray(said("killed")) == (
        "its process EngineCoreActor on 127.0.0.3 ended without a word, as one does that is killed"
    )


@pytest.mark.parametrize(
    "text",
    ["Engine core initialization failed. See root cause above.", "ValueError: too large", ""],
)
def test_what_is_not_rays_stays_as_it_is(text: str) -> None:
    assert ray_causes.of_ray(text) is None
    assert ray_causes.in_short(RuntimeError(text)) == text


def test_the_user_reads_one_sentence_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    error = EngineError(
        f"The engine did not start: {ray_causes.in_short(RuntimeError(said('port-in-use')))}"
    )
    log = "\n".join(f"(EngineCoreActor pid=4366) {line}" for line in caplog.text.splitlines())

    sentence = life.with_cause(error, log)

    assert sentence == f"The engine did not start: {PORT_IN_USE}"
    assert "Another program has that port on the machine" in causes.way_out(sentence)
    assert "ray::Worker.init_device()" in caplog.text
    assert "\x1b[" not in caplog.text
