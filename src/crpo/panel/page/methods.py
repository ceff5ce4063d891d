"""The paragraph for a paper's method section, with the numbers of this panel filled in."""

from __future__ import annotations

from crpo.report.rating.apa import bounded, decimal, known, spelled
from crpo.report.rating.apa import several as in_words

from .content import PanelPage
from .numbers import listed

TIES = {"drop": "Ties were left out", "half": "A tie counted as half a win for both"}


def methods_text(page: PanelPage) -> str:
    """Return the paragraph; "" where nothing that counts was judged. What is not known is not mentioned."""
    if not page.count("judgements", "that count here"):
        return ""
    analysis = [_means(page)] if page.kind == "ratings" else [_rates(page), _lengths(page), _strengths(page)]
    before = [_task(page), _material(page), _blind(page), _people(page)]
    sentences = [*before, *analysis, _interval(page), _agreement(page), _software(page)]
    return " ".join(sentence for sentence in sentences if sentence)


def _task(page: PanelPage) -> str:
    settings = page.campaign.settings
    names, ties = listed(settings.dimensions), "; they could call it a tie" if settings.ties else ""
    low, high = settings.scale
    tasks = {
        "pairwise": f"Raters saw two answers to a prompt side by side and chose the better one in {names}{ties}.",
        "best_of": f"Raters saw {spelled(settings.best_of)} answers to the same prompt and chose the best in {names}.",
        "ratings": f"Raters saw one answer at a time and rated its {names} from {low} to {high}.",
    }
    return tasks[page.kind]


def _material(page: PanelPage) -> str:
    prompts, models, answers = (page.count("design", what) for what in ("prompts", "models", "answers"))
    against = page.campaign.settings.against
    only = f"; models were compared with {listed(against)} only" if against else ""
    return (
        f"The material was {in_words(answers, 'answer', 'answers')} of {in_words(models, 'model', 'models')} to "
        f"{in_words(prompts, 'prompt', 'prompts')}{only}."
    )


def _blind(page: PanelPage) -> str:
    places = "" if page.kind == "ratings" else " and the positions of answers were balanced for each rater and model"
    return f"Raters were blind to where answers came from; items were dealt to raters in a balanced design{places}."


def _people(page: PanelPage) -> str:
    raters, wanted = (
        page.count("raters", "whose judgements count here"),
        page.count("design", "raters wanted for each item"),
    )
    judged, checks, left = page.count("judgements", "that count here"), len(page.counts.checks), len(page.left_out)
    who = f"{in_words(raters, 'rater', 'raters')} gave {in_words(judged, 'judgement', 'judgements')}"
    parts = [
        _begun(f"{who}; each item was to be judged by {in_words(wanted, 'rater', 'raters')}."),
        f"Every rater’s pages also held {in_words(checks, 'attention check', 'attention checks')}." if checks else "",
        f"All judgements of {in_words(left, 'rater', 'raters')} were left out who answered in under a third of the "
        "expected time, gave nine of ten answers alike, or failed an attention check." if left else "",
    ]  # fmt: skip
    return " ".join(part for part in parts if part)


def _begun(sentence: str) -> str:
    return f"A total of {sentence}" if sentence[0].isdigit() else sentence[:1].upper() + sentence[1:]


def _rates(page: PanelPage) -> str:
    ties = f"{TIES[page.section.ties]}. " if page.campaign.settings.ties and page.kind == "pairwise" else ""
    best = "The best of several answers counted as having won against each of the others. "
    return (
        f"{best if page.kind == 'best_of' else ''}{ties}Win rates are shares of votes won. Their 95% intervals are by "
        "the formula of Wilson (Wilson, 1927) for the number of independent votes that would be as uncertain as the "
        "votes were (Korn & Graubard, 1998), with Student’s t in place of the normal quantile. "
        "The order of two models was called decided where the interval left out 50%, without correction for the number "
        "of comparisons."
    )


def _lengths(page: PanelPage) -> str:
    if page.found.win_rates is None or "equal_length" not in page.found.win_rates:
        return ""
    return (
        "Win rates at equal length are from a logistic regression on the difference in words (the length term of "
        "Dubois et al., 2024)."
    )


def _strengths(page: PanelPage) -> str:
    return (
        "Strengths are those of a Bradley–Terry model (Bradley & Terry, 1952) with Jeffreys’ prior (Firth, 1993)."
        if page.found.strengths is not None and page.found.strengths["strength"].notna().any()
        else ""
    )


def _means(page: PanelPage) -> str:
    return (
        "Models were compared by their mean ratings, each rating counting once, with 95% intervals (mean ± t × "
        "standard error)."
    )


def _interval(page: PanelPage) -> str:
    raters, prompts = page.found.judgements["rater"].nunique(), page.found.judgements["prompt_id"].nunique()
    draws = f"{decimal(page.section.draws, 0)} draws"
    if raters > 1 and prompts > 1:
        return (
            "Variances behind the intervals allow for other prompts and for other raters: bootstrap variances over "
            "prompts and over raters were added, and that over their cells was subtracted (Cameron et al., 2011; "
            f"{draws} of each)."
        )
    if raters == prompts:
        return ""
    known, fixed = ("prompts", "rater") if prompts > 1 else ("raters", "prompt")
    return f"Variances behind the intervals are from a bootstrap over {known} ({draws}); there was one {fixed}."


def _agreement(page: PanelPage) -> str:
    rows = [row for row in page.found.agreement.to_dict("records") if known(row["alpha"])]
    told = [f"{bounded(row['alpha'])} for {row['dimension']}" for row in rows]
    level = "ordinal" if page.kind == "ratings" else "nominal"
    parts = [f"Krippendorff’s alpha ({level}; Krippendorff, 2004) was {listed(told)}."] if told else []
    iccs = [
        f"{bounded(row['icc_2_1'])} and {bounded(row['icc_2_k'])} (k = {decimal(row['raters_per_answer'], 1)}) for "
        f"{row['dimension']}"
        for row in rows
        if "icc_2_1" in row and known(row["icc_2_1"], row["icc_2_k"])
    ]
    parts += [f"ICC(2,1) and ICC(2,k) (Shrout & Fleiss, 1979) were {'; '.join(iccs)}."] if iccs else []
    return " ".join(parts)


def _software(page: PanelPage) -> str:
    own = page.versions[page.versions["name"] == "crpo"]["version"].tolist()
    return f"The study was run and analysed with crpo{f' (Version {own[0]})' if own else ''}."
