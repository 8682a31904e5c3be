"""How far each machine is with an engine that is being loaded, by what its processes say."""

from __future__ import annotations

import re

from harness.language import joined, phrase

# "(EngineCoreActor pid=39, ip=10.0.0.2) ": Ray leaves the address of this machine out.
_SPEAKER = re.compile(r"^\([^()]*\bpid=\d+(?:, ip=([^)\s]+))?\)")
HERE = phrase("this machine")
# What vLLM logs when it begins or ends a part of the work, in the order of the work.
_STAGES = (
    ("Initializing a V1 LLM engine", phrase("starts a worker")),
    ("Starting to load model", phrase("reads the weights")),
    ("Loading weights took", phrase("has its weights")),
    ("Dynamo bytecode transform", phrase("compiles")),
    ("Available KV cache memory", phrase("has its KV cache")),
    ("Capturing CUDA graphs", phrase("captures CUDA graphs")),
    ("Graph capturing finished", phrase("has its CUDA graphs")),
    ("init engine (profile", phrase("is ready")),
)
# What this machine's vLLM logs before it hands the work out; every process imports vLLM first.
_HANDED_OUT = "Starting ray-based data parallel backend"


def by_machine(said: str) -> dict[str, str]:
    """What each machine that has spoken is at; of several processes there, the furthest."""
    furthest: dict[str, int] = {}
    for line in said.splitlines():
        speaker = _SPEAKER.match(line)
        if speaker is None:
            continue
        machine = speaker[1] or HERE
        for number, (words, _) in enumerate(_STAGES):
            if words in line:
                furthest[machine] = max(number, furthest.get(machine, 0))
    return {machine: _STAGES[number][1] for machine, number in furthest.items()}


def sentence(said: str) -> str | None:
    """The same for a line of progress; None before anybody has said anything."""
    told = joined("; ", (joined(" ", at) for at in by_machine(said).items()))
    if not told and _HANDED_OUT in said:
        return phrase("every machine starts an engine, which imports vLLM first")
    return told or None
