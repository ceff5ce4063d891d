"""Token ids come from the template, once."""

from __future__ import annotations

from typing import Any

import pytest

from crpo.answers import encode_answers
from crpo.chat import Chat
from crpo.errors import InputError


def test_prompt_and_response_join_to_what_the_template_writes(tiny: Any) -> None:
    _, chat = tiny()
    turns = [{"role": "user", "content": "a brick"}, {"role": "assistant", "content": "hold a door open"}]
    whole = chat.tokenizer.apply_chat_template(turns, return_dict=True)["input_ids"]
    assert chat.prompt_ids("a brick") + chat.response_ids("a brick", "hold a door open") == whole
    assert whole.count(chat.tokenizer.bos_token_id) == 1
    assert whole[-1] == chat.tokenizer.eos_token_id


def test_a_tokenizer_without_a_template_needs_plain(tiny: Any) -> None:
    _, chat = tiny()
    bare = chat.tokenizer.__class__(tokenizer_object=chat.tokenizer.backend_tokenizer, eos_token="<|end|>")
    with pytest.raises(InputError, match="chat_template: plain"):
        Chat(bare)
    plain = Chat(bare, "plain")
    ids = plain.prompt_ids("a brick") + plain.response_ids("a brick", "hold it")
    assert bare.decode(ids) == "a brick\nhold it<|end|>"


def test_a_template_that_rewrites_the_prompt_is_refused(tiny: Any) -> None:
    _, chat = tiny()
    copy = chat.tokenizer.__class__(tokenizer_object=chat.tokenizer.backend_tokenizer, eos_token="<|end|>")
    copy.chat_template = "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(InputError, match="does not write the prompt the same way"):
        Chat(copy).response_ids("a brick", "hold it")


def test_what_a_template_writes_after_the_end_is_no_part_of_the_answer(tiny: Any) -> None:
    _, chat = tiny()
    copy = chat.tokenizer.__class__(tokenizer_object=chat.tokenizer.backend_tokenizer, eos_token="<|end|>")
    copy.chat_template = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}"
        "{% if m['role'] == 'assistant' and not enable_thinking|default(true) %}{{ '[no thought]' }}{% endif %}"
        "{{ m['content'] + '<|end|>' + '\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}"
        "{% if not enable_thinking|default(true) %}{{ '[no thought]' }}{% endif %}{% endif %}"
    )
    written = Chat(copy)
    assert copy.decode(written.response_ids("a brick", "hold it")) == "hold it<|end|>"
    assert copy.decode(written.prompt_ids("a brick")).endswith("<|assistant|>[no thought]")


def test_each_distinct_answer_is_encoded_once(tiny: Any) -> None:
    _, chat = tiny()
    answers, numbers = encode_answers(chat, [("p", "a"), ("p", "b"), ("q", "a"), ("p", "a")])
    assert numbers.tolist() == [0, 1, 2, 0]
    assert answers.prompt_of.tolist() == [0, 0, 1]
    trees, order = answers.trees([2, 0, 1, 0])
    assert [len(tree.responses) for tree in trees] == [1, 2]
    assert order == [2, 0, 1]
