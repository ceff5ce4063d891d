"""Samples in several turns: a protocol of questions, each of which may quote earlier replies, over any generator."""

from __future__ import annotations

import functools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crpo.components import Spec, build, with_models
from crpo.generators import GENERATORS, Decoding, Generator, Request, requests_for
from crpo.tasks.protocols import PROMPT, Turn, fill_in, protocol


@dataclass(frozen=True)
class InTurns:
    """Draw samples turn by turn; the reply to the last turn is the sample.

    Each turn is a conversation of its own that quotes what it needs, so that any generator will do. Turns are gone
    through one after another, each for all samples: sample i of a turn quotes sample i of earlier turns and is drawn
    with sample i's settings of the grid. Every reply is a record, with its turn's name in `turn` and
    "PROMPT_ID/TURN" for prompt id; the record of the last turn has the sample's own key, prompt id and prompt, and
    what was asked in `asked`. A stopped run continues in the turn it was in, when `had` can give its records
    (`had.get(key)`, as `RecordStore` and dictionaries do).

    Only a reply of status "ok" is quoted. A sample for which an earlier turn has another status gets that status, no
    text and `finish_reason` "turn NAME".

    Parameters
    ----------
    protocol : str
        Name of a protocol, see `read_protocols`.
    generator : str or mapping
        Who replies: a name of `GENERATORS`, `module:Name`, or `{use: name, **settings}`. A local model is loaded once
        for all turns.
    grid : tuple of Decoding
        Settings and numbers of samples, for each turn.
    protocols : str
        A YAML file of protocols of one's own; "" for the package's alone. Where it lies changes no sample.
    model, max_new_tokens, chat_template, dtype, revision
        Settings of the generator, where it has them and they are not among those of `generator`; None leaves them as
        they are. `max_new_tokens` is for each turn. Model and `max_new_tokens` are then what the generator has.

    Attributes
    ----------
    turns : tuple of (str, str)
        Names and questions of the turns: part of what records come from, as a change of wording changes the samples.

    Raises
    ------
    InputError
        When made: for a protocol or a generator that is not there or not right.
    """

    protocol: str
    generator: Spec
    grid: tuple[Decoding, ...] = (Decoding(),)
    protocols: str = field(default="", repr=False)
    model: str | None = None
    max_new_tokens: int | None = None
    chat_template: str | None = None
    dtype: str | None = None
    revision: str | None = None
    turns: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        turns = protocol(self.protocol, self.protocols or None)
        object.__setattr__(self, "turns", tuple((turn.name, turn.ask) for turn in turns))
        name = self.generator if isinstance(self.generator, str) else str(self.generator.get("use"))
        object.__setattr__(self, "model", getattr(self.replying, "model", name))
        object.__setattr__(self, "max_new_tokens", getattr(self.replying, "max_new_tokens", None))

    @functools.cached_property
    def replying(self) -> Generator:
        """The generator that replies."""
        names = ("grid", "model", "max_new_tokens", "chat_template", "dtype", "revision")
        settings = {name: value for name in names if (value := getattr(self, name)) is not None}
        return build(with_models(self.generator, GENERATORS, settings), GENERATORS, "generator")

    @property
    def drains(self) -> bool:
        """Whether what is under way still arrives when a budget is spent: as the generator has it."""
        return getattr(self.replying, "drains", False)

    @property
    def paid(self) -> bool:
        """Whether replies cost money: as the generator has it."""
        return getattr(self.replying, "paid", True)

    def ready(self) -> None:
        """Raise what would stop the first reply."""
        getattr(self.replying, "ready", lambda: None)()

    def will_ask(self, requests: Sequence[Request], records: Iterable[Mapping[str, Any]]) -> tuple[list[str], int]:
        """Return what is still to be asked for samples, a question each turn, and how many replies stand in them.

        The replies themselves are left out of the questions, as they are not known before. `records` are those there
        are: turns that have one that did not fail are not asked again.
        """
        there = {(r["prompt_id"], r["sample"]) for r in records if "turn" in r and r["status"] != "error"}
        asked, quoted = [], 0
        for request in requests:
            for turn in (Turn(name=name, ask=ask) for name, ask in self.turns):
                if (f"{request.prompt_id}/{turn.name}", request.sample) in there:
                    continue
                asked.append(fill_in(turn, {**dict.fromkeys(turn.quotes(), ""), PROMPT: request.prompt}))
                quoted += sum(name != PROMPT for name in turn.places())
        return asked, quoted

    def __call__(
        self, prompts: Sequence[tuple[str, str]], *, seed: int, had: Container[str] = ()
    ) -> Iterator[dict[str, Any]]:
        asked = [request for pair in prompts for request in requests_for(*pair, self.grid, seed)]
        samples = {request.key: request for request in asked if request.key not in had}
        texts = {key: {PROMPT: request.prompt} for key, request in samples.items()}
        *before, last = (Turn(name=name, ask=ask) for name, ask in self.turns)
        for turn in before:
            questions = self._questions(turn, samples, texts, seed)
            replies = {}
            for record in self._replies(turn, questions, {key: key for key in questions}, seed, had):
                replies[record["key"]] = record
                yield record
            for own, (key, _) in questions.items():
                record = replies.get(own) or _earlier(had, own)
                if record is not None and record["status"] == "ok":
                    texts[key][turn.name] = record["response"]
                    continue
                request = samples.pop(key)
                if record is not None:  # else it was not drawn, as a budget is spent: nothing became of the sample yet
                    yield _ended(request, turn, record)
        questions = self._questions(last, samples, texts, seed)
        kept_as = {own: key for own, (key, _) in questions.items()}
        for record in self._replies(last, questions, kept_as, seed, had):
            request = samples[kept_as[record["key"]]]
            own = {"key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt}
            yield {**record, **own, "asked": record["prompt"]}

    def _questions(
        self, turn: Turn, samples: Mapping[str, Request], texts: Mapping[str, Mapping[str, str]], seed: int
    ) -> dict[str, tuple[str, tuple[str, str]]]:
        """Return for each sample, by the key of its reply: the sample's key, and the question's prompt id and text."""
        found = {}
        for key, request in samples.items():
            question = (f"{request.prompt_id}/{turn.name}", fill_in(turn, texts[key]))
            found[requests_for(*question, self.grid, seed)[request.sample].key] = (key, question)
        return found

    def _replies(
        self, turn: Turn, questions: Mapping[str, tuple[str, tuple[str, str]]], kept_as: Mapping[str, str], seed: int,
        had: Container[str],
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Yield a record for each question that is not had; a question of several samples is put as one prompt."""
        pairs = list(dict.fromkeys(question for _, question in questions.values()))
        for record in self.replying(pairs, seed=seed, had=_AllBut(kept_as, had)):
            yield {**record, "turn": turn.name}


@dataclass(frozen=True)
class _AllBut:
    """Every key but those of the wanted replies, and of these the ones whose record is had."""

    kept_as: Mapping[str, str]
    had: Container[str]

    def __contains__(self, key: object) -> bool:
        return key not in self.kept_as or self.kept_as[str(key)] in self.had


def _earlier(had: Any, key: str) -> dict[str, Any] | None:
    if hasattr(had, "get"):
        return had.get(key)
    if key in had:
        raise TypeError("a protocol continues only with records: `had` must have `get`")
    return None


def _ended(request: Request, turn: Turn, record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": request.key, "prompt_id": request.prompt_id, "prompt": request.prompt, "sample": request.sample,
        "response": "", "status": record["status"], "finish_reason": f"turn {turn.name}", "tokens": 0,
        "input_tokens": 0, "output_tokens": 0, "temperature": request.decoding.temperature,
        "top_p": request.decoding.top_p, "top_k": request.decoding.top_k, "seed": request.seed, "turn": turn.name,
    }  # fmt: skip
