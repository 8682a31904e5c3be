"""Answers a run's prompts with vLLM's own LLM.generate and the run's own engine settings.

usage: generate_directly.py RUN_DIR ANSWERS_JSON
(a program of its own, because an engine is best ended with its process)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import engine_args
from harness.config import RunConfig, Scenario
from harness.inputs.dataset import load_dataset
from harness.inputs.model import resolve_model
from harness.inputs.tokenizer import load_tokenizer


def main() -> None:
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    record = json.loads((Path(sys.argv[1]) / "config.json").read_text())
    flags = record["flags"]
    flags["scenario"] = Scenario(flags["scenario"])
    flags["engine_args"] = engine_args.parse(flags["engine_args"].items())
    config = RunConfig(**flags)
    model = resolve_model(config)
    data = load_dataset(config, lambda: load_tokenizer(model), model.vocab_size)
    llm = LLM(**record["resolved"]["engine"])
    params = SamplingParams(
        temperature=0.0,
        max_tokens=config.max_new_tokens,
        min_tokens=1,
        stop_token_ids=list(model.eos_token_ids),
        detokenize=False,
    )
    prompts = [TokensPrompt(prompt_token_ids=sample.token_ids) for sample in data.samples]
    answers = llm.generate(prompts, params, use_tqdm=False)
    result = {
        "model": model.path,
        "prompts": [sample.token_ids for sample in data.samples],
        "answers": [list(answer.outputs[0].token_ids) for answer in answers],
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
