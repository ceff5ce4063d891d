"""What a model's card must say against it, as far as the run's own tables and settings tell."""

from __future__ import annotations

from collections.abc import Iterator

from crpo.stages.model_facts import ModelFacts
from crpo.tasks.languages import language_name

BUNDLED = "bundled"
SIMULATION = (
    "Simulated data. No person wrote an answer or gave a rating that this model learned from. It shows that the "
    "machinery works, and says nothing about creativity."
)


def is_simulated(facts: ModelFacts) -> bool:
    """Return whether the model learned from the bundled simulated corpus."""
    return facts.arm is not None and facts.arm.recipe.data.ratings == BUNDLED


def limits(facts: ModelFacts) -> Iterator[str]:
    """Yield a sentence for each limit that is known; first those that no run tests."""
    yield (
        "Not tested: whether what it says is true, safe or fair, and how it does on anything but the tasks below. "
        "crpo measures creativity of short answers and nothing else."
    )
    if facts.arm is None:
        yield "Where it comes from is not known here: no data, recipe or results were recorded with it."
        return
    if facts.doubt:
        yield facts.doubt
    recipe = facts.arm.recipe
    if is_simulated(facts):
        yield SIMULATION
    if recipe.policy.model == "tiny":
        yield "It is a tiny language model that has read nothing but these answers: no use outside a demonstration."
    yield _languages(facts)
    yield f"Tasks it was trained on: {', '.join(facts.tasks)}."
    if recipe.report.win_rates is None:
        yield "Results come from automatic metrics; the run holds no judgement by people of this model's answers."
    if facts.arm.trained and facts.seeds < 2:
        yield "One training seed: differences from other models may be luck of the seed."
    trained_on = [name for name, value in facts.arm.lambdas.items() if value > 0]
    if trained_on:
        yield f"It was trained on {', '.join(trained_on)}: in these metrics a high value is what it was made for."
    if recipe.models.quality == "learned":
        yield "Quality is a ridge regression on people's scores of this data set, not a reward model of general use."
    if facts.warnings is not None:
        yield f"While it was trained there were warnings: {', '.join(dict.fromkeys(facts.warnings['kind']))}."


def _languages(facts: ModelFacts) -> str:
    stated = [f"{language_name(code)} ({count:,} answers)" for code, count in facts.languages if code]
    blank = sum(count for code, count in facts.languages if not code)
    if not stated:
        return "The answers' language was not stated; no language was tested by itself."
    rest = f", and {blank:,} answers of no stated language" if blank else ""
    return f"Languages it was trained on: {', '.join(stated)}{rest}. Others were not tested."
