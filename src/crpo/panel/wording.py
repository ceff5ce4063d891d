"""What raters read before they begin, as Markdown for the researcher to edit."""

from __future__ import annotations

import re

from crpo.panel.settings import Settings

MEANINGS = {
    "creativity": "new and fitting at once: others would hardly have thought of it, and it does what the task asks",
    "novelty": "unlike what most people would answer",
    "originality": "unlike what most people would answer",
    "surprise": "you did not see it coming",
    "quality": "it answers the task well, and is worded well",
    "usefulness": "it would work, and be worth doing",
}


def instruction_text(settings: Settings) -> str:
    """Return instructions for the kind of campaign: what is judged, how, and that practice does not count."""
    return "\n\n".join(filter(None, (_task(settings), _words(settings), _rules(settings), _practice(settings)))) + "\n"


def consent_text(settings: Settings) -> str:
    """Return a consent text with blanks in square brackets, which the researcher must fill in."""
    return f"""\
## {settings.title}

You are invited to take part in a study by [name of researcher, institution]. You will read short answers to open
questions and say how creative you find them. Some were written by people, some by computers.

- **Taking part is voluntary.** You may stop at any time, without giving a reason, by closing the page.
- **What is kept:** your judgements and how long each took, under a random number. [Name, address and IP address are
  not asked for and not stored. Change this line if you record anything else.]
- **Pay:** [what is paid, when, and what happens to those who stop early].
- **Content:** the answers are shown as they were written and may contain mistakes or something you find unpleasant.
- **Questions and complaints:** [e-mail]; ethics approval: [number].

By going on you say that you are [18] or older, have read this, and agree to take part.
"""


def blanks(text: str) -> list[str]:
    """Return the blanks of a text that are still to be filled in, without their square brackets."""
    return [" ".join(blank.split()) for blank in re.findall(r"\[([^\][]+)\](?!\()", text)]


def _task(settings: Settings) -> str:
    asked = {
        "pairwise": "On each page you see a task and two answers to it. Say which one has more of what is asked for.",
        "best_of": f"On each page you see a task and {settings.best_of} answers to it. Choose the best one.",
        "ratings": "On each page you see a task and an answer to it. Rate the answer.",
    }
    lines = ["## What to do", asked[settings.kind]]
    if settings.kind == "ratings":
        low, high = settings.scale
        lines.append(
            f"{low} is the lowest rating and {high} the highest. Use the whole scale: most answers are neither."
        )
    if settings.kind == "pairwise":
        lines.append("If neither stands out, call it a tie." if settings.ties
                     else "There are no ties: if you cannot decide, follow your first impression.")  # fmt: skip
    return "\n\n".join(lines)


def _words(settings: Settings) -> str:
    lines = [
        f"- **{name}**: {MEANINGS.get(name.casefold(), '[say what you mean by it]')}" for name in settings.dimensions
    ]
    return "## What the words mean\n\n" + "\n".join(lines)


def _rules(settings: Settings) -> str:
    lines = [
        "Judge the idea, not spelling, grammar or length: a long answer is not better for being long.",
        "Judge each page by itself. There are no right answers, your own opinion is what counts.",
        "Answers may be alike. Judge each as if you read it for the first time.",
    ]
    if settings.checks:
        lines.append(_checks(settings))
    return "## Please keep in mind\n\n" + "\n".join(f"- {line}" for line in lines)


def _checks(settings: Settings) -> str:
    if settings.kind == "ratings":
        wanted = "Give such an answer the lowest rating throughout."
    else:
        wanted = "Choose the real answer there, whatever is asked."
    return f"Now and then there is no answer at all, only random letters or something off the task. {wanted}"


def _practice(settings: Settings) -> str:
    if not settings.practice:
        return ""
    pages = "page is" if settings.practice == 1 else f"{settings.practice} pages are"
    return f"## Practice\n\nThe first {pages} for practice and do not count."
