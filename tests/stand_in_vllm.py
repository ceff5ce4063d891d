"""A stand-in for vLLM: the names and signatures of 0.33.0 that we call, with an engine that makes tokens up.

vLLM needs a GPU, and pins another torch than ours. What is written here is what its source says of these names;
`test_vllm.py` compares the two where vLLM is installed. Nothing here shows that the engine works.
"""

from __future__ import annotations

import enum
import random
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

LONGEST = 40  # tokens of a prompt and its answer
END = 2


class VLLMClientError(Exception):
    """vLLM's error for a request it does not take; no ValueError."""


class RequestOutputKind(enum.Enum):
    """What of a request is handed out."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class SamplingParams:
    """vLLM's settings of one request, of which these are used."""

    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    max_tokens: int | None = 16
    detokenize: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE


@dataclass
class EngineArgs:
    """vLLM's settings of the engine, of which these are used."""

    model: str = ""
    dtype: str = "auto"
    revision: str | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.92
    disable_log_stats: bool = False
    enable_lora: bool = False
    max_lora_rank: int = 16
    max_model_len: int | None = None


@dataclass
class LoRARequest:
    """vLLM's name for an adapter."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""


def tokens_input(prompt_token_ids: list[int], *, prompt: str | None = None, cache_salt: str | None = None) -> Any:
    return {"type": "token", "prompt_token_ids": prompt_token_ids}


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: list[int]
    finish_reason: str | None = None


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool


@dataclass
class LLMEngine:
    """Finish one request a step, the newest first; its tokens depend on the prompt and the request's seed."""

    arguments: EngineArgs
    waiting: dict[str, tuple[Any, SamplingParams, LoRARequest | None]] = field(default_factory=dict)
    asked: list[tuple[str, SamplingParams, LoRARequest | None]] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)

    engines = []  # noqa: RUF012
    fails_after = 10**9
    device = "cuda"

    @classmethod
    def from_engine_args(
        cls, engine_args: EngineArgs, usage_context: Any = None, stat_loggers: Any = None,
        enable_multiprocessing: bool = False,
    ) -> LLMEngine:  # fmt: skip
        if not cls.device:
            raise RuntimeError("Failed to infer device type, please set the environment variable …")
        cls.engines.append(cls(engine_args))
        return cls.engines[-1]

    def add_request(
        self, request_id: str, prompt: Any, params: SamplingParams, arrival_time: float | None = None,
        lora_request: LoRARequest | None = None, tokenization_kwargs: Any = None, trace_headers: Any = None,
        priority: int = 0, session_id: str | None = None, prompt_text: str | None = None, kv_hints: Any = None,
    ) -> str:  # fmt: skip
        assert prompt["type"] == "token"
        if len(prompt["prompt_token_ids"]) > LONGEST:
            raise VLLMClientError(f"The decoder prompt is longer than the maximum model length of {LONGEST}.")
        self.asked.append((request_id, params, lora_request))
        self.waiting[request_id] = (prompt, params, lora_request)
        return f"{request_id}-0a1b2c3d"  # its own id; ours comes back in the output

    def step(self) -> list[RequestOutput]:
        if len(self.asked) - len(self.waiting) >= self.fails_after:
            raise RuntimeError("EngineCore encountered an issue.")
        request_id = list(self.waiting)[-1]
        prompt, params, _ = self.waiting.pop(request_id)
        chance = random.Random(f"{prompt} {params.seed}")
        ids = [chance.randrange(3, 200) for _ in range(chance.randrange(1, 20))]
        assert params.max_tokens is not None
        over = len(ids) < params.max_tokens
        found = CompletionOutput(0, "", [*ids, END] if over else ids[: params.max_tokens], "stop" if over else "length")
        return [RequestOutput(request_id, prompt["prompt_token_ids"], [found], True)]

    def abort_request(self, request_ids: list[str], internal: bool = False) -> None:
        self.aborted += request_ids
        for request_id in request_ids:
            self.waiting.pop(request_id)


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> type[LLMEngine]:
    """Let `import vllm` find the stand-in; return its engine's class, which lists the engines made."""
    names = {
        "vllm": {"EngineArgs": EngineArgs, "LLMEngine": LLMEngine, "SamplingParams": SamplingParams},
        "vllm.exceptions": {"VLLMClientError": VLLMClientError},
        "vllm.inputs": {"tokens_input": tokens_input},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": LoRARequest},
        "vllm.sampling_params": {"RequestOutputKind": RequestOutputKind, "SamplingParams": SamplingParams},
    }
    for name, content in names.items():
        module = ModuleType(name)
        vars(module).update(content, __spec__=ModuleSpecLike(name))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(LLMEngine, "engines", [])
    return LLMEngine


@dataclass
class ModuleSpecLike:
    """Enough of a module's specification for `importlib.util.find_spec`."""

    name: str
