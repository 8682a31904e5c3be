"""The prompts of both protocols, word for word, and what an answer in the chat protocol means."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from harness.errors import UsageError
from harness.inputs.tokenizer import encode
from harness.mmlu.config import LLAMA, PLAIN
from harness.mmlu.questions import LETTERS, Question, QuestionSet
from harness.mmlu.subjects import in_words

ANSWER_TOKENS = {PLAIN: 1, LLAMA: 10}
# lm_eval/tasks/mmlu/default: `description`, `doc_to_text`, and its delimiters.
_PLAIN_DESCRIPTION = (
    "The following are multiple choice questions (with answers) about {subject}.\n\n"
)
_PLAIN_QUESTION = "{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nAnswer:"
# lm_eval/tasks/llama3/instruct/mmlu: `doc_to_text` and `gen_prefix`. Meta's own prompts for the
# reported 69.4 are these turns without the system turn that the chat template puts before them.
_LLAMA_QUESTION = (
    "Given the following question and four candidate answers (A, B, C and D), choose the best "
    "answer.\nQuestion: {question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\nYour response should end with "
    '"The best answer is [the_answer_letter]" where the [the_answer_letter] is one of A, B, C or D.'
)
_LLAMA_PREFIX = "The best answer is"


def plain_prompt(question: Question, examples: Sequence[Question]) -> str:
    """The description, the examples with their answers, and the question up to "Answer:"."""
    description = _PLAIN_DESCRIPTION.format(subject=in_words(question.subject))
    shown = "".join(f"{_filled(_PLAIN_QUESTION, one)} {one.letter}\n\n" for one in examples)
    return description + shown + _filled(_PLAIN_QUESTION, question)


def llama_messages(question: Question, examples: Sequence[Question]) -> list[dict[str, str]]:
    """The turns of a chat that ends inside the assistant's answer."""
    turns: list[dict[str, str]] = []
    for one in examples:
        turns += _turns(one, f"{_LLAMA_PREFIX} {one.letter}.")
    return turns + _turns(question, _LLAMA_PREFIX)


def tokenise(protocol: str, data: QuestionSet, tokenizer: Any) -> list[list[int]]:
    """The token ids of each question's prompt. Raises UsageError without a chat template."""
    texts: list[str] = []
    if protocol == PLAIN:
        texts = [plain_prompt(one, data.examples.get(one.subject, ())) for one in data.questions]
    else:
        if not getattr(tokenizer, "chat_template", None):
            raise UsageError(
                "--protocol llama: this model's tokenizer has no chat template; use --protocol "
                "plain, or an instruction-tuned model."
            )
        for one in data.questions:
            turns = llama_messages(one, data.examples.get(one.subject, ()))
            texts.append(
                tokenizer.apply_chat_template(turns, tokenize=False, continue_final_message=True)
            )
    # The chat template holds the beginning-of-text token; a second one costs 1.8 points.
    return encode(tokenizer, texts, add_special_tokens=protocol == PLAIN)


def letter_token_ids(tokenizer: Any) -> list[int]:
    """The tokens " A" to " D" as they follow "Answer:". Raises UsageError where one is not single.

    Four token ids, in that order.
    """
    before: list[int] = tokenizer.encode("Answer:", add_special_tokens=False)
    found: list[int] = []
    for letter in LETTERS:
        whole: list[int] = tokenizer.encode(f"Answer: {letter}", add_special_tokens=False)
        if whole[:-1] != before or whole[-1] in found:
            raise UsageError(
                f'--protocol plain: " {letter}" is not a single token of its own in this '
                "tokenizer, so the likeliest letter cannot be told; use --protocol llama."
            )
        found.append(whole[-1])
    return found


def parse_llama_answer(text: str) -> int | None:
    """The choice that an answer names; None: it is not just a letter.

    lm-evaluation-harness's match: the text up to the first full stop, without space at either end
    and without punctuation, in either case.
    """
    said = text.partition(".")[0].strip()
    said = said.translate(str.maketrans("", "", string.punctuation)).upper()
    return LETTERS.index(said) if len(said) == 1 and said in LETTERS else None


def _turns(question: Question, answer: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": _filled(_LLAMA_QUESTION, question)},
        {"role": "assistant", "content": answer},
    ]


def _filled(template: str, question: Question) -> str:
    """Only the question is stripped; the choices stay as they are."""
    choices = dict(zip(LETTERS, question.choices, strict=True))
    return template.format(question=question.question.strip(), **choices)
