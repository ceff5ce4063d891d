"""Samples from a local model by vLLM's engine in this process: many prompts at a time, on GPUs."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from crpo.errors import InputError, MissingExtraError, TooManyFailuresError, needs_extra
from crpo.generators import Decoding, Request, requests_for
from crpo.generators.replies import Reply, record_of
from crpo.models import find_model, loading_error

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those vLLM makes room for
STATUSES = {"stop": "ok", "length": "truncated"}  # of vLLM's finish reasons; the others are errors


@dataclass(frozen=True)
class Vllm:
    """Draw samples with vLLM.

    Written against the source of vLLM 0.33.0; tested with a stand-in for it, never run on a GPU by us. Prompts are
    written by the same chat template as those of `hf`. Each sample is a request of its own with its own seed
    (`Request.random_seed`), so it depends neither on resuming nor on sharding; vLLM itself does not promise the same
    floating point in other batches, and its samples are other ones than those of `hf`. Its prefix cache reads a prompt
    once for its samples, as far as memory allows.

    Parameters
    ----------
    model : str
        Hub id or folder; a LoRA folder is put onto its base.
    grid : tuple of Decoding
        Settings and numbers of samples.
    max_new_tokens : int
        A sample that does not end within it has status "truncated"; thinking counts, and is taken out of the answer.
    chat_template : {"own", "plain"}
        See `Chat`.
    dtype, revision
        As vLLM's arguments of these names; float64 it does not have.
    extra : mapping
        More of its `EngineArgs`, such as {"max_model_len": 4096, "quantization": "fp8"}.
    gpus : int
        GPUs the model is spread over (`tensor_parallel_size`).
    memory : float
        Share of a GPU's memory it takes (`gpu_memory_utilization`).
    under_way : int
        Most requests handed to the engine and not yet finished; they are drawn again after a kill.

    Raises
    ------
    InputError
        When made: for dtype float64. When called: for a model that cannot be loaded.
    MissingExtraError
        Without vLLM, or without a GPU it can use.
    TooManyFailuresError
        When the engine dies.
    """

    model: str
    grid: tuple[Decoding, ...]
    max_new_tokens: int = 64
    chat_template: str = "own"
    dtype: str = "float32"
    revision: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    gpus: int = field(default=1, repr=False)
    memory: float = field(default=0.9, repr=False)
    under_way: int = field(default=1024, repr=False)

    paid: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.dtype == "float64":
            raise InputError("vLLM does not compute in float64", "Set dtype to bfloat16 or float32.")

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings: a generator sent to another process starts its engine there."""
        return {name: value for name, value in vars(self).items() if name != "_started"}

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        asked = [requests_for(prompt_id, prompt, self.grid, seed) for prompt_id, prompt in prompts]
        waiting = deque(request for own in asked for request in own if request.key not in had)
        if waiting:
            self.ready()
            yield from self._drawn(waiting, had)

    def ready(self) -> None:
        """Raise MissingExtraError without vLLM."""
        if importlib.util.find_spec("vllm") is None:
            raise needs_extra("the generator vllm", "vllm")

    @functools.cached_property
    def _started(self) -> tuple[Any, Any, Any]:
        """The engine, the chat, and the request for the adapter where there is one."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # else it reports to its makers
        from transformers import AutoTokenizer
        from vllm import EngineArgs, LLMEngine  # type: ignore[import-not-found]
        from vllm.lora.request import LoRARequest  # type: ignore[import-not-found]

        from crpo.chat import Chat

        target = find_model(self.model)
        base, rank = _base_of(Path(target))
        own = {"model": target} if base is None else {"model": base, "enable_lora": True, "max_lora_rank": rank}
        settings = {
            "dtype": self.dtype, "revision": self.revision if base is None else None, "disable_log_stats": True,
            "tensor_parallel_size": self.gpus, "gpu_memory_utilization": self.memory,
        }  # fmt: skip
        try:
            chat = Chat(AutoTokenizer.from_pretrained(target, revision=self.revision), self.chat_template)
            engine = LLMEngine.from_engine_args(EngineArgs(**{**own, **settings, **self.extra}))
        except InputError:
            raise
        except Exception as error:  # libraries fail in many ways
            if "device type" in str(error):
                raise MissingExtraError("vLLM finds no GPU it can use", "Use the generator hf here.") from error
            raise loading_error(self.model, error) from error
        return engine, chat, None if base is None else LoRARequest("adapter", 1, target)

    def _drawn(self, waiting: deque[Request], had: Container[str]) -> Iterator[dict[str, Any]]:
        engine, chat, adapter = self._started
        going: dict[str, Request] = {}
        read: set[str] = set()  # prompts whose tokens stand in a record already
        try:
            while waiting or going:
                while waiting and len(going) < self.under_way:
                    request = waiting.popleft()
                    if request.key in had:
                        continue
                    refused = self._add(engine, chat, adapter, request)
                    if refused is None:
                        going[request.key] = request
                    else:
                        yield record_of(request, refused, ())
                for output in _stepped(engine) if going else ():
                    if output.finished:
                        request = going.pop(output.request_id)
                        tokens = 0 if request.prompt_id in read else len(output.prompt_token_ids)
                        read.add(request.prompt_id)
                        yield record_of(request, _reply(output.outputs[0], tokens, chat), ())
        finally:
            engine.abort_request(list(going))

    def _add(self, engine: Any, chat: Any, adapter: Any, request: Request) -> Reply | None:
        """Hand a request to the engine; return a reply with status "error" where it does not take this one."""
        from vllm import SamplingParams  # type: ignore[import-not-found]
        from vllm.exceptions import VLLMClientError  # type: ignore[import-not-found]
        from vllm.inputs import tokens_input  # type: ignore[import-not-found]
        from vllm.sampling_params import RequestOutputKind  # type: ignore[import-not-found]

        cell = request.decoding
        how = SamplingParams(
            n=1, temperature=cell.temperature, top_p=cell.top_p, top_k=cell.top_k, seed=request.random_seed,
            max_tokens=self.max_new_tokens, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY,
        )  # fmt: skip
        prompt = tokens_input(chat.prompt_ids(request.prompt))
        try:
            engine.add_request(request.key, prompt, how, lora_request=adapter)
        except (VLLMClientError, ValueError) as error:  # a prompt that is too long
            return Reply("", "error", " ".join(str(error).split())[:200])
        return None


def _base_of(folder: Path) -> tuple[str | None, int]:
    """Return the base a LoRA folder names, and the least rank vLLM makes room for that will do; (None, 0) for none."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None, 0
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        base, rank = str(content["base_model_name_or_path"]), int(content["r"])
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} names no base model and rank", "Name the folder that save_pretrained wrote."
        ) from error
    room = next((most for most in RANKS if most >= rank), None)
    if room is None:
        raise InputError(f"{path} has rank {rank}; vLLM takes at most {RANKS[-1]}", "Use the generator hf.")
    return find_model(base), room


def _stepped(engine: Any) -> list[Any]:
    try:
        return engine.step()
    except Exception as error:
        found = f"vLLM's engine has failed ({type(error).__name__}: {error})"
        raise TooManyFailuresError(found, "What it says stands above; the same command again continues.") from error


def _reply(choice: Any, input_tokens: int, chat: Any) -> Reply:
    ids, reason = list(choice.token_ids), str(choice.finish_reason)
    text = chat.tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Reply(text, STATUSES.get(reason, "error"), reason, input_tokens=input_tokens, output_tokens=len(ids))
