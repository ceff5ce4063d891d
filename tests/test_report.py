"""The report is one inert, self-contained page that says what was scored, what was not, and what was simulated."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from crpo.recipe.sections import EvaluateSection, OutlierSection, TopSection
from crpo.report import render_report
from crpo.report.content import COLUMNS, ReportContent
from crpo.stages.present import how_computed

MODELS = ["base", "SFT", "DPO", "CrPO-nov", "CrPO-div", "CrPO-sur", "CrPO-qua", "CrPO-nov-div-sur", "CrPO-cre"]
METRICS = ["novelty", "diversity", "surprise", "quality", "local_novelty", "words"]
HOSTILE = "</pre></svg></style><script>alert('1')</script><img src=x onerror=\"alert(2)\">\" ' & {{ 7*7 }}"


def table(name: str, rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS[name]))


def without(name: str) -> pd.DataFrame:
    return table(name, [])


def estimates() -> pd.DataFrame:
    rows = []
    for i, model in enumerate(MODELS):
        for k, metric in enumerate(METRICS):
            value = 0.3 + 0.05 * i + k
            for split in ("unseen items", "unseen task", "all"):
                rows.append((model, metric, split, value, value - 0.1, value + 0.1, 12, 3, 48, 0))
    return table("estimates", rows)


def training() -> pd.DataFrame:
    rows = [("base", "base", 0, "loss", 5.0), ("SFT", "sft", 0, "loss", 3.0), ("SFT", "sft", 9, "held_out_loss", 2.0)]
    for model in MODELS[2:]:
        rows += [(model, "train", s, n, 0.1 * s) for s in range(3) for n in ("loss", "accuracy", "margin")]
    return table("training", rows)


@pytest.fixture(scope="module")
def content() -> ReportContent:
    samples = [
        (f"p{p}", f"task {p}", "rope", f"Prompt {p}?", model, k, f"answer {p} {model} {k}", "ok")
        for p in range(3)
        for model in MODELS
        for k in range(3)
    ]
    weights = [(model, f"pair{j}", float(j % 4)) for model in MODELS[2:] for j in range(20)]
    return ReportContent(
        title="A small report",
        recipe="paper",
        simulated=False,
        settings="seed: 1\n",
        versions=table("versions", [("crpo", "0.1.0")]),
        headline=["CrPO-nov is more novel than SFT."],
        estimates=estimates(),
        metrics=table("metrics", [(m, f"What {m} means.", "unit", m in METRICS[:4]) for m in METRICS]),
        samples=table("samples", samples),
        weights=table("weights", weights),
        signal_account=table("signal_account", [(m, 20, 0.25, 13.2, 1.5, 1.25, 0) for m in MODELS[2:]]),
        training=training(),
        raters=table("raters", [("ann", 50, 3.0, 1.2, True, ""), ("bob", 50, 2.9, np.nan, False, "too few ratings")]),
        quality_rater=table("quality_rater", [("task 0", 90, 9, 0.6, 0.5, 0.7)]),
        account=table("account", [("pair", "responses below 20 points", 412)]),
    )


@pytest.fixture(scope="module")
def lean(content: ReportContent) -> ReportContent:
    """The same with few drawings, which take most of the time."""
    return replace(content, weights=without("weights"), training=without("training"), raters=None)


@pytest.fixture(scope="module")
def page(content: ReportContent) -> str:
    return render_report(content)


class Reader(HTMLParser):
    """Counts elements, and keeps attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    assert not re.search(r"https?:", page)
    assert not re.search(r"@import|expression\(|javascript:", page)
    reader = Reader(page)
    assert not {"script", "iframe", "object", "embed", "form", "link", "base", "img"} & set(reader.elements)
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    links = [value for name, value in reader.attributes if name in ("href", "src", "xlink:href")]
    assert len(links) > 9
    assert all(link.startswith("#") for link in links)
    assert re.findall(r"url\((?!#)", page) == []
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


def test_every_inner_link_and_reference_has_one_target(page: str) -> None:
    attributes = Reader(page).attributes
    ids = [value for name, value in attributes if name == "id"]
    targets = {value[1:] for name, value in attributes if name in ("href", "xlink:href")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_text_from_models_people_and_recipes_stays_text(content: ReportContent) -> None:
    def with_text(text: str) -> Reader:
        new = replace(
            content,
            title=text,
            recipe=text,
            settings=text,
            headline=[text],
            interval=text,
            versions=table("versions", [(text, text)]),
            samples=content.samples.assign(response=text, prompt=text, item=text, task=text, status=text),
            estimates=content.estimates.replace({"model": {"SFT": text}, "split": {"unseen task": text}}),
            metrics=content.metrics.assign(meaning=text, unit=text),
            weights=content.weights.replace({"variant": {"DPO": text}}),
            signal_account=content.signal_account.assign(variant=text),
            training=content.training.replace({"model": {"DPO": text}, "name": {"margin": text}}),
            raters=content.raters.assign(rater=text, reason=text),  # pyright: ignore[reportOptionalMemberAccess]
            quality_rater=table("quality_rater", [(text, 1, 1, 0.1, 0.0, 0.2)]),
            account=table("account", [(text, text, 1)]),
        )
        return Reader(render_report(new))

    hostile, harmless = with_text(HOSTILE), with_text("x" * len(HOSTILE))
    # Paths and names of drawings may differ with a label's width; every other element is the same, in number too.
    drawn = {"path", "use", "g", "defs", "clippath", "rect", "text"}
    assert [e for e in hostile.elements if e not in drawn] == [e for e in harmless.elements if e not in drawn]
    assert HOSTILE in hostile.texts
    assert "alert('1')" not in "".join(t for t in hostile.texts if HOSTILE not in t).replace(HOSTILE, "")
    assert {name for name, _ in hostile.attributes} == {name for name, _ in harmless.attributes}


def test_half_a_character_does_not_stop_the_page_from_being_written(lean: ReportContent) -> None:
    half = pd.Series(["half \ud83d of a smile"] * len(lean.samples), dtype=object)
    broken = replace(lean, samples=lean.samples.assign(response=half))
    assert "half ? of a smile" in render_report(broken).encode("utf-8").decode("utf-8")


def test_not_scored_is_said_and_never_zero(lean: ReportContent, page: str) -> None:
    assert "<em>not scored</em>" not in page
    gone = lean.estimates["model"].eq("DPO") & lean.estimates["metric"].eq("quality")
    holes = lean.estimates.assign(samples_left_out=np.where(gone, 48, 0))
    holes.loc[gone, ["value", "low", "high"]] = np.nan
    text = render_report(replace(lean, estimates=holes))
    assert text.count("<em>not scored</em>") == gone.sum() == 3
    assert text.count("48 left out") == 3
    assert "nan" not in Reader(text).text.lower().split()
    assert text.count("quality not scored): DPO.") == 3, "each scatter plot says which model it could not show"


def test_outliers_are_counted_and_a_metric_that_selected_is_marked(lean: ReportContent) -> None:
    marks = lean.estimates.assign(outliers=0, selected_on="False")
    one = marks["split"].eq("all") & marks["model"].eq("DPO")
    marks.loc[one & marks["metric"].eq("novelty"), "outliers"] = 2
    marks.loc[one & marks["metric"].eq("quality"), ["outliers", "selected_on"]] = [1, "True"]
    page = render_report(replace(lean, estimates=marks))
    assert page.count("<small>2 outliers</small>") == page.count("<small>1 outlier</small>") == 1
    assert page.count("<small>selected by it</small>") == 1
    assert page.index("<small>1 outlier</small>") < page.index("<small>selected by it</small>")


def test_the_page_says_which_samples_count_and_what_is_done_with_outliers() -> None:
    plain = how_computed(EvaluateSection(), several_seeds=False)
    assert "best" not in plain
    assert "outlier" not in plain
    told = how_computed(
        EvaluateSection(top=TopSection(samples=3, by="surprise"), outliers=OutlierSection(rule="winsorise")),
        several_seeds=True,
    )
    assert "Only the best 3 samples of each prompt by surprise count, so surprise is high by selection." in told
    assert "3 scaled median absolute deviations from the median of its model and task is moved to that bound" in told


def test_a_model_without_some_metric_is_not_scored_there(lean: ReportContent) -> None:
    part = lean.estimates.query("not (model == 'base' and metric == 'diversity')")
    assert render_report(replace(lean, estimates=part)).count("<em>not scored</em>") == 3


def test_the_simulation_is_named_if_and_only_if_there_was_one(content: ReportContent, page: str) -> None:
    assert "simulat" not in page.lower()
    text = render_report(replace(content, simulated=True))
    assert "This is a simulation." in text
    assert "<title>Simulation: A small report</title>" in text
    figures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    drawn = [figure for figure in figures if 'class="bar"' not in figure]
    assert drawn
    assert all("simulation</text>" in figure for figure in drawn)
    data = ("findings", "results", "scatters", "weights", "training", "raters", "answers", "account")
    for section in data:
        assert re.search(rf'<section id="{section}".*?<h2>[^<]*<span class="chip">simulation', text, flags=re.DOTALL)


def test_the_same_content_gives_the_same_bytes(content: ReportContent, page: str) -> None:
    assert render_report(content).encode() == page.encode()


def test_every_model_and_metric_appears(page: str) -> None:
    text = Reader(page).text
    for name in [*MODELS, *(metric.replace("_", " ") for metric in METRICS)]:
        assert name in text
    for metric in METRICS:
        assert f"What {metric} means." in text


def test_metrics_used_in_training_stand_apart_each_group_with_the_length(page: str) -> None:
    heads = re.findall(r'<th class="group"[^>]*colspan="(\d)">([^<]*)</th>', page)
    assert heads[:2] == [("5", "Used in training"), ("2", "Independent of training")]
    columns = re.findall(r'<th scope="col"[^>]*>([\w ]+)<small>', page)
    assert columns[:7] == ["novelty", "diversity", "surprise", "quality", "words", "local novelty", "words"]


def test_all_data_come_first_and_the_splits_are_folded_below(page: str) -> None:
    assert re.findall(r"Split: ([\w ]+)\.", page) == ["all", "unseen items", "unseen task"]


def test_every_figure_is_there(page: str) -> None:
    for name in ("scatter-novelty", "scatter-diversity", "scatter-surprise", "weights-CrPO-cre", "raters"):
        assert f'id="{name}-figure_1"' in page
    assert 'id="training-train-CrPO-cre-figure_1"' in page
    assert len(re.findall(r'id="[\w-]+-figure_1"', page)) == 3 + 7 + 1 + 1 + 7 + 1
    assert "CrPO-nov: 25\u202f% zero" in page


def test_a_report_without_raters_weights_training_or_samples_says_so(content: ReportContent) -> None:
    names = ("weights", "signal_account", "training", "samples", "account", "versions")
    bare = replace(content, raters=None, quality_rater=None, headline=[], **{name: without(name) for name in names})
    text = Reader(render_report(bare)).text
    for words in ("No table of raters", "No learned rater", "No pairs were weighted", "No training was logged"):
        assert words in text


@pytest.mark.parametrize("models", [[], MODELS[1:2]])
def test_none_or_one_model_makes_a_page(lean: ReportContent, models: list[str]) -> None:
    text = render_report(replace(lean, estimates=lean.estimates.query("model in @models")))
    assert ("No model was evaluated" in text) == (not models)


def test_long_answers_are_folded_and_kept_whole(lean: ReportContent) -> None:
    long = "once upon a time " * 60 + "the end"
    text = render_report(replace(lean, samples=lean.samples.assign(response=long)))
    assert text.count(long) == 3 * 2 * len(MODELS)
    assert text.count('<div class="answer"><details>') == 3 * 2 * len(MODELS)


def test_surprising_tokens_are_coloured_escaped_and_explained(lean: ReportContent) -> None:
    pieces = [("<b>", 1.9), (" &", 2.0), ("\n", 8.0), ("شيء", 13.0), ("⏎", 40.0)]
    rows = [("r1", "Prompt?", place, text, bits) for place, (text, bits) in enumerate(pieces)]
    rows += [("r2", "Prompt?", place, "word ", 3.0) for place in range(450)]
    page = render_report(replace(lean, token_surprise=table("token_surprise", rows)))
    section = page[page.index('<section id="surprise">') : page.index('<section id="training">')]
    reader = Reader(section)
    spans = [value for name, value in reader.attributes if name == "class" and value.startswith("bits bits")]
    assert spans[:5] == [f"bits bits{level}" for level in range(5)]  # the legend
    assert spans[5:10] == [f"bits bits{level}" for level in (0, 1, 2, 3, 4)]
    assert "b" not in reader.elements
    assert '<span class="bits bits0" title="1.9 bits">&lt;b&gt;</span>' in section
    assert "and 50 more" in section
    assert 'id="surprise"' not in render_report(lean)


def test_labels_of_twelve_crowded_models_do_not_overlap() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from crpo.report.labels import label_points

    figure = Figure(figsize=(4.4, 4.0), dpi=72)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = axes.transData.transform(np.random.default_rng(0).normal(0.5, 0.05, (12, 2)))
    label_points(axes, points, [f"CrPO-nov-div-{i}" for i in range(12)], [], ["black"] * 12)
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in axes.texts]
    assert len(boxes) == 12
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_table_that_does_not_fit_is_named(lean: ReportContent) -> None:
    with pytest.raises(ValueError, match="estimates lacks low; it has model"):
        replace(lean, estimates=lean.estimates.drop(columns="low"))
    with pytest.raises(ValueError, match="two rows for base, novelty, unseen items"):
        replace(lean, estimates=pd.concat([lean.estimates, lean.estimates.head(1)]))
    with pytest.raises(ValueError, match="does not explain novelty"):
        replace(lean, metrics=lean.metrics.query("metric != 'novelty'"))


def test_importing_the_report_waits_for_neither_matplotlib_nor_torch() -> None:
    code = "import sys, crpo.report; print([m for m in ('matplotlib', 'jinja2', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
