"""The settings of a campaign; every default of `crpo panel new` lives here and nowhere else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crpo.recipe.sections import Count, Positive, Section, Seed

MOST_STEPS = 10  # of a scale: a key on the keyboard for each

Some = Annotated[int, Field(ge=0)]
Dimension = Annotated[str, Field(pattern=r"^\w[\w -]{0,39}$")]
NO_ANSWERS = ["(no answer)", "asdf jkl qwer uiop asdf", "The meeting starts at ten on Tuesday."]


class Choice(Section):
    """Which prompts and answers are judged."""

    by: Literal["random", "top", "all"] = "random"  # of a model's answers to a prompt: drawn by seed, highest, or all
    metric: str = ""  # by: top, the column of the samples that says which are highest
    answers: Count = 1  # of each model to each prompt, where by is not all
    prompts: Count | None = None  # how many, drawn by seed; none: all
    models: list[str] = []  # noqa: RUF012 - empty: all of the samples


class Likeness(Section):
    """How alike judgements are that share something: intraclass correlations of votes (1 won, 0 lost) or ratings.

    Two judgements of the same models correlate by `prompt` if they are of answers to the same prompt, by `page` on top
    if of the same answers, and by `rater` if they are the same rater's. The defaults are assumptions for planning,
    not measured; after a pilot, take yours.
    """

    prompt: Annotated[float, Field(ge=0, le=1)] = 0.05
    page: Annotated[float, Field(ge=0, le=1)] = 0.15
    rater: Annotated[float, Field(ge=0, le=1)] = 0.02


class Settings(Section):
    """What raters are asked, about what, and who gets how much of it."""

    title: Annotated[str, Field(min_length=1, max_length=120)] = "A study of ideas"  # raters see it
    kind: Literal["pairwise", "best_of", "ratings"] = "pairwise"
    dimensions: Annotated[list[Dimension], Field(min_length=1, max_length=8)] = ["creativity"]  # noqa: RUF012
    scale: tuple[int, int] = (1, 5)  # of ratings: whole numbers from lowest to highest
    ties: bool = True  # whether a pair may be called equal
    best_of: Annotated[int, Field(ge=2, le=9)] = 3  # answers side by side, for kind best_of
    against: list[str] = []  # noqa: RUF012 - pairwise: only pairs of another model with one of these; empty: all pairs of models
    choice: Choice = Choice()
    raters_per_item: Count = 3
    items_per_rater: Count = 30  # attention checks and practice come on top
    overlap: Some = 0  # of these, items that every rater judges; all others are dealt out
    checks: Some = 2  # attention checks each rater meets
    check_texts: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = NO_ANSWERS
    practice: Some = 2  # items each rater begins with, which do not count
    order: Literal["shuffled", "by_prompt"] = "shuffled"  # of a rater's items; by_prompt: all of a prompt in a row
    reading_speed: Positive = 238  # words a minute: silent reading of English non-fiction (Brysbaert 2019)
    decision_seconds: Positive = 5  # for each judgement after reading: an assumption; time yourself and set it
    likeness: Likeness = Likeness()  # for the difference that can be found
    seed: Seed = 0

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        low, high = self.scale
        if not low < high < low + MOST_STEPS:
            raise ValueError(f"scale: from {low} to {high}; it needs 2 to {MOST_STEPS} steps, lowest first")
        if len({name.casefold() for name in self.dimensions}) < len(self.dimensions):
            raise ValueError("dimensions: one is named twice")
        if self.choice.by == "top" and not self.choice.metric:
            raise ValueError("choice.metric: name the column that says which answers are top")
        if self.against and self.kind != "pairwise":
            raise ValueError(f"against: only pairs have sides, and this is {self.kind}")
        if self.overlap >= self.items_per_rater:
            raise ValueError(
                f"overlap: {self.overlap} of {self.items_per_rater} items are for everybody; some must be left"
            )
        return self
