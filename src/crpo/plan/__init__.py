"""The plan of a run: a recipe as steps, in order."""

from __future__ import annotations

from crpo.arms import arms_of
from crpo.plan.baselines import baseline_steps
from crpo.plan.data import bundled_ratings, data_steps
from crpo.plan.measuring import measuring_steps
from crpo.plan.models import model_steps
from crpo.plan.noveltybench import noveltybench_steps
from crpo.plan.reporting import report_step
from crpo.recipe import Recipe
from crpo.stages.step import Step

__all__ = ["bundled_ratings", "plan"]


def plan(recipe: Recipe) -> list[Step]:
    """Return the steps of a recipe, each after the steps it needs; what its arms share is there once."""
    arms = arms_of(recipe)
    steps = [*data_steps(recipe), *model_steps(recipe, arms), *measuring_steps(recipe, arms)]
    steps += [*noveltybench_steps(recipe, arms), *baseline_steps(recipe, arms[0])]
    return [*steps, report_step(recipe, arms, steps)]
