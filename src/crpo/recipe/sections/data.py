"""People's answers, their raters, and preference pairs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from crpo.recipe.sections.kinds import Count, Positive, Section, Seed, Share


class DataSection(Section):
    """Where people's answers come from, and what is held out of training."""

    responses: str | None = None  # a table of scored answers
    ratings: str | None = None  # a long table of ratings, or "bundled": the simulated corpus
    tasks: str | None = None  # YAML file of task templates of your own, as src/crpo/tasks/templates.yaml
    heldout_tasks: list[str] | Share = []  # tasks never seen in training: which, or what share of them (drawn by seed)
    heldout_languages: list[str] | Share = []  # the same of languages
    heldout_items: Annotated[int, Field(ge=0)] | Share | dict[str, list[str]] = (
        2  # of every other task: how many, what share of them (drawn by seed), or which
    )
    leave_out: dict[str, list[str]] = {}  # TASK: [items], used nowhere; TASK: [] is all of them
    leaks: Literal["drop", "error", "keep"] | None = None  # none: drop; error where the table has a split of its own
    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = None  # cosine similarity that is a leak too (ours)
    merge_duplicates: bool = True  # equal normalised answers to a prompt become one, with their mean score (ours)
    limit: Count | None = None  # keep this many answers, drawn by seed: for trying things out
    seed: Seed = 42

    @model_validator(mode="after")
    def _one_source(self) -> DataSection:
        if (self.responses is None) == (self.ratings is None):
            raise ValueError("give exactly one of data.responses and data.ratings")
        return self


class RaterRules(Section):
    """Bounds of the filters "rules" and "stepwise" (least_item_rest alone); none is no bound."""

    least_discrimination: float | None = 0.3  # logits per standard deviation, under the normal prior
    most_infit: float | None = 1.5
    most_outfit: float | None = 2.0
    least_item_rest: float | None = 0.2  # correlation with the mean of the other raters


class RateSection(Section):
    """Ratings to factor scores (judge response theory)."""

    model: Literal["grm", "cgrm", "gpcm", "pcm", "grsm", "cgrsm", "gprsm", "rsm", "auto"] = "grm"
    criterion: Literal["aic", "bic"] = "aic"  # of model: auto and filter: genetic
    prior: Literal["weak", "none", "normal"] = "weak"  # weak beats R's estimator (none) on sparse designs
    filter: Literal["lr", "genetic", "stepwise", "rules", "none"] = "lr"  # the paper: genetic; why not: docs/raters.md
    reversed: Literal["drop", "flip", "keep"] | None = None  # none: drop, or with filter: none keep
    least_raters: Annotated[int, Field(ge=0)] = 0  # per answer; no rater is dropped where that would leave fewer
    rules: RaterRules = RaterRules()
    scores: Literal["minmax", "expected", "normal"] = "minmax"  # the rule from theta to 10-50
    scale: tuple[float, float] | None = None  # ends of the raters' scale; a rating outside is an error
    missing_codes: list[float | str] = []  # ratings that mean "not rated", as 99 or NA
    bins: Annotated[int, Field(ge=2, le=20)] = 10  # categories, where ratings have more than 20 distinct values
    by: str | None = None  # a column: one fit, and one scale, for each of its values
    unconnected: Literal["error", "assume"] = "error"  # groups that share no rater and no answer; assume: equally good
    seed: Seed = 42  # of the genetic filter

    @model_validator(mode="after")
    def _rising_scale(self) -> RateSection:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError("scale must rise, as in 1-5")
        return self


class PairSection(Section):
    """MuCE-PREF's and MuCE-SFT's rules."""

    min_score: float = 20.0
    min_gap: Annotated[float, Field(ge=0)] = 5.0
    max_uses: Count = 10
    max_per_prompt: Count | None = None  # not in the paper
    order: Literal["table", "random"] = "table"
    agreement: Literal["any", "partial", "full"] = "any"  # which answers may be paired, where ratings are known
    max_theta_se: Positive | None = None  # largest standard error of an answer's factor score; not in the paper
    certainty: Annotated[float, Field(gt=0.5, lt=1)] | None = None  # least probability that chosen is better (ours)
    balance_lengths: Literal["none", "words", "characters"] = "none"  # chosen the longer one as often as not, by prompt
    sft_min_score: float = 30.0
    seed: Seed = 42
