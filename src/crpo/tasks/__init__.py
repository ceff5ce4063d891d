"""Prompt templates as data: what people were asked in each task, and how a model is asked the same."""

from __future__ import annotations

import functools
from importlib import resources

import yaml

from crpo.tables import normalise, short_hash

GENERIC = "generic"


@functools.cache
def templates() -> dict[str, str]:
    """Return the instruction of each task; `{item}` and, in the generic one, `{task}` are filled in."""
    return yaml.safe_load(resources.files("crpo.tasks").joinpath("templates.yaml").read_text(encoding="utf-8"))


def render_prompt(task: str, item: str) -> str:
    """Return the prompt for an item of a task; a task without a template of its own gets the generic one."""
    template = templates().get(task, templates()[GENERIC])
    return template.replace("{task}", task).replace("{item}", item)


def prompt_id(task: str, item: str, language: str = "") -> str:
    """Return a prompt's identity: the same for items that differ in case or spacing only."""
    return short_hash(normalise(task), normalise(item), language)
