"""The report of a search: its tables and figures on one offline page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bogp.analysis import Interval
from bogp.controls import CONTROLS
from bogp.database import GraphDatabase
from bogp.graphs import RelationalGraph
from bogp.pipeline import FrontPoint, Point, SearchResult
from bogp.report.accuracy_figures import PAPER_TABLE2, TradeoffPoint, tradeoff
from bogp.report.graph_figures import graph_and_mask
from bogp.report.interval_figure import interval_figure
from bogp.report.page import Section, versions, write_report
from bogp.report.pictures import Picture
from bogp.report.search_tables import (
    alpha_table,
    change_table,
    comparison_table,
    cost_table,
    data_sets,
    evidence_of,
    front_table,
    leader_table,
    noise_table,
    objective,
    trial_table,
    winner_name,
    winner_table,
)
from bogp.report.style import plural
from bogp.report.trial_figures import (
    course_figure,
    front_figure,
    hypervolume_figure,
    search_trace,
    support_figure,
)
from bogp.study import FinishedTrial
from bogp.types import BoolArray

_NORMAL = 1.959963984540054  # SDs from the middle to the end of a normal 95 % interval


def write_search_report(
    path: str | os.PathLike[str],
    result: SearchResult,
    database: GraphDatabase,
    command: str = "",
) -> Path:
    """Write what a search found as one HTML file that opens offline, and return its path.

    Args:
        path: the file, ``report.html`` say.
        result: what :func:`bogp.search` returned.
        database: the database that it searched, for the winner's graph.
        command: what made it, for the page's last section.

    Raises:
        OutputError: the file cannot be written.
    """
    settings = dict(result.settings)
    dataset = settings.pop("dataset")
    name = dataset["name"] if isinstance(dataset, Mapping) else str(dataset)
    goal = f" at s = {settings['sparsity']:g}" if settings["sparsity"] is not None else ""
    provenance = {
        **({"command": command} if command else {}),
        "study's key": result.key,
        "dataset": dataset,
        "database": settings.pop("database"),
        "settings": settings,
        "versions": versions("botorch"),
    }
    title = f"bogp: search of {name}{goal}"
    return write_report(path, title, search_sections(result, database), provenance)


def search_sections(result: SearchResult, database: GraphDatabase | None) -> list[Section]:
    """Return the parts of a search's report, the result first.

    The figures that are worth a file of their own have a name
    (:func:`~bogp.report.page.save_pictures`). Without the database the winner's graph is not drawn.
    """
    winner = _winner_section(result, database)
    if result.settings.get("pareto"):
        return _trade_off_sections(result)
    if result.evidence is None:
        course = Picture(_course(result), "The best so far, trial by trial.", "course")
        return [Section("Result", "", [trial_table(result)], [course]), *winner]
    noise = noise_table(result)
    text = (
        "Each training of a candidate differs by its seed. What the search can tell apart is a "
        "matter of how far candidates differ beside that."
    )
    return [
        _result_section(result),
        _controls_section(result),
        *([] if noise is None else [Section("Candidates against seeds", text, [noise])]),
        _tried_section(result),
        *winner,
        Section("Training spent", "", [cost_table(result)]),
    ]


def _result_section(result: SearchResult) -> Section:
    """Return the winner and all that is known of its accuracy."""
    chosen_on, reported_on = data_sets(result)
    text = (
        f"The winner, `{winner_name(result)}`, has the highest posterior mean of "
        f"{objective(result)} among all that were trained, on the {chosen_on}. The value of its "
        "best trial promises too much, because it was chosen for being high; the corrected "
        f"estimates allow for that. Then it was trained on fresh seeds, and the {reported_on} was "
        "opened once."
    )
    rows = _estimates(result)
    figures = []
    if len(rows) > 1:
        figure = interval_figure(
            rows, title="What the winner is worth", xlabel="accuracy", digits=4,
            note="95 % intervals; of the posterior, mean ± 1.96 SD",
        )  # fmt: skip
        caption = f"From the selected value to the sealed {reported_on}: one row for each estimate."
        figures = [Picture(figure, caption)]
    return Section("Result", text, [winner_table(result)], figures)


def _estimates(result: SearchResult) -> list[tuple[str, Interval]]:
    """Return what is known of the winner's accuracy; nothing where the value is another thing."""
    if result.settings["alpha"] is not None:
        return []
    evidence, (chosen_on, reported_on) = evidence_of(result), data_sets(result)
    rows = []
    if np.isfinite(evidence.selected):
        rows.append(("best trial (chosen)", Interval(evidence.selected, None, None, 1)))
    rows.append(("posterior", _posterior_interval(evidence.posterior)))
    corrected = (evidence.shrunken, evidence.conditional)
    rows += [(f"corrected ({each.method})", each.corrected) for each in corrected if each]
    fresh = ((chosen_on, evidence.fresh), (reported_on, evidence.sealed))
    return rows + [(f"{name}, fresh seeds", interval) for name, interval in fresh if interval]


def _posterior_interval(posterior: tuple[float, float]) -> Interval:
    """Return the 95 % interval of a normal posterior of this mean and standard deviation."""
    mean, deviation = posterior
    half = _NORMAL * deviation
    return Interval(mean, mean - half, mean + half, 1)


def _controls_section(result: SearchResult) -> Section:
    """Return random search and the controls beside the winner."""
    heading, compared = "Random search and controls", evidence_of(result).comparisons
    if not compared:
        text = "No network was trained on a fresh seed, so that there is nothing to compare with."
        return Section(heading, text)
    text = (
        "Random search had the same pool, the same training, the same early stopping and the same "
        "choice of its winner; only what proposes candidates differs. Each control takes one "
        f"thing from the winner:\n\n{controls_text(entry.name for entry in compared)}"
    )
    figure = interval_figure(
        [(entry.name, entry.lead.scaled(100.0)) for entry in compared],
        title="Lead of the winner",
        xlabel=f"percentage points on the {data_sets(result)[1]}",
        note=f"{plural(compared[0].lead.count, 'fresh seed')}, 95 % t intervals of paired "
        "differences",
        zero=True,
    )
    caption = (
        "The winner's lead over each, in percentage points, paired by seed; vermilion where the "
        "95 % interval excludes 0."
    )
    changed = change_table(result)
    tables = [comparison_table(result), *([] if changed is None else [changed])]
    return Section(heading, text, tables, [Picture(figure, caption, "controls")])


def controls_text(names: Iterable[str]) -> str:
    """Return a list of what each of these controls takes away; empty where none is a control."""
    return "\n".join(f"- {name}: {CONTROLS[name].help}" for name in names if name in CONTROLS)


def _tried_section(result: SearchResult) -> Section:
    """Return the best candidates and all trials."""
    course = Picture(
        _course(result),
        "Every trial in the order in which it was asked, and the best so far. Hollow and faint "
        "ones were stopped early; what random search spent is what the search spent.",
        "course",
    )
    support = Picture(
        _support(result),
        "All trials of both arms by the density of what bounds the mask. With the complete "
        "support a criterion is the known method: magnitude is Glob or Unif, then SNIP, GraSP, "
        "SynFlow.",
        "support",
    )
    return Section("What was tried", "", [leader_table(result)], [course, support])


def _arms(result: SearchResult) -> dict[str, tuple[FinishedTrial, ...]]:
    """Return the trials of the search, and of random search where there are any."""
    arms = {"search": result.trials, "random search": result.random_trials}
    return {name: trials for name, trials in arms.items() if trials or name == "search"}


def _course(result: SearchResult) -> Figure:
    """Return the figure of the trials in their order."""
    ylabel = f"{objective(result)}, {data_sets(result)[0]}"
    if result.evidence is None:
        trace = [np.array([trial.value for trial in result.trials])]
        return search_trace({f"engine {result.settings['engine']}": trace}, ylabel=ylabel)
    arms = {
        name: [(trial.value, trial.stopped) for trial in trials]
        for name, trials in _arms(result).items()
    }
    return course_figure(arms, ylabel=ylabel)


def _support(result: SearchResult) -> Figure:
    """Return the figure of all trials by the density of their support."""
    rows: dict[str, list[tuple[float, float, bool]]] = {}
    for trial in (*result.trials, *result.random_trials):
        point = Point.from_record(trial.point)
        density = round(1.0 - point.support, 9)
        rows.setdefault(point.criterion, []).append((density, trial.value, trial.stopped))
    ylabel = f"{objective(result)}, {data_sets(result)[0]}"
    return support_figure(dict(sorted(rows.items())), ylabel=ylabel)


def _winner_section(result: SearchResult, database: GraphDatabase | None) -> list[Section]:
    """Return the winner's graph beside its mask; nothing where there is no graph to draw."""
    if result.mask is None or database is None:
        return []
    links = _winner_links(result, database)
    if links is None:
        return []
    name, layer = next(iter(result.mask.items()))
    figure = graph_and_mask(links, layer.cpu().numpy(), f"{winner_name(result)}; mask of {name}")
    caption = (
        f"Left, the relational graph of the winner, {winner_name(result)}: what joins groups of "
        "channels. Right, the mask of the first pruned layer that came of it: dark weights are "
        "kept."
    )
    return [Section("The winner's graph and mask", "", [], [Picture(figure, caption, "winner")])]


def _winner_links(result: SearchResult, database: GraphDatabase) -> BoolArray | None:
    """Return the adjacency of the winner's graph; None where the database holds no edges."""
    best = result.best
    if "made" in best.record:
        packed = bytes.fromhex(best.record["made"])
        return RelationalGraph.from_packed(packed, database.nodes).adjacency
    number = best.point.get("graph", best.record.get("graph"))
    if number is None:
        return np.ones((database.nodes, database.nodes), dtype=bool)
    record = database.record(number)
    return None if record.packed is None else record.graph.adjacency


def _trade_off_sections(result: SearchResult) -> list[Section]:
    """Return the parts of the report of a search with two objectives."""
    chosen_on, reported_on = data_sets(result)
    text = (
        f"No candidate of the front is beaten in both accuracy and sparsity, by posterior mean on "
        f"the {chosen_on}. Each was then trained on fresh seeds, and the {reported_on} was opened "
        "once."
    )
    front = Picture(
        _front(result),
        "Every trial that ended whole, and the front of each arm; its points are means over fresh "
        f"seeds with their 95 % intervals, on the {chosen_on}, where there are such.",
        "front",
    )
    alphas = Picture(
        _by_alpha(result),
        "What one front gives for each alpha of the paper's f2, beside the paper's own search "
        "for each of them.",
    )
    volumes = Picture(
        _hypervolume(result),
        "The area that the front dominates, by posterior mean, from chance accuracy and sparsity "
        "0, after each batch; the trials of the first have what it ended with.",
        "hypervolume",
    )
    tables = [front_table(result)]
    if result.random_front:
        tables.append(front_table(result, "random"))
    return [
        Section("The front", text, tables, [front]),
        Section("The paper's f2 from the same front", "", [alpha_table(result)], [alphas]),
        Section("Hypervolume over trials", "", [], [volumes]),
        Section("Training spent", "", [cost_table(result)]),
    ]


def _front(result: SearchResult) -> Figure:
    """Return the figure of all trials and the front of each arm."""
    trials = {
        name: [[trial.value, trial.point["sparsity"]] for trial in each if not trial.stopped]
        for name, each in _arms(result).items()
    }
    fronts = {"search": _front_points(result.front)}
    if result.random_front:
        fronts["random search"] = _front_points(result.random_front)
    ylabel, _ = data_sets(result)
    return front_figure(trials, fronts, ylabel=ylabel)


def _front_points(front: Sequence[FrontPoint]) -> list[tuple[float, Interval]]:
    """Return the sparsity and the accuracy of each point, over fresh seeds where there are any."""
    return [
        (entry.point.sparsity, entry.fresh or _posterior_interval(entry.posterior))
        for entry in front
    ]


def _hypervolume(result: SearchResult) -> Figure:
    """Return the hypervolume by trial: it changes where a batch ends."""
    courses = {}
    for name, trials in _arms(result).items():
        volumes = result.hypervolumes[name.split()[0]]
        _, sizes = np.unique([trial.batch for trial in trials], return_counts=True)
        course = np.full(len(trials), volumes[0])
        for end, volume in zip(np.cumsum(sizes), volumes, strict=True):
            course[end - 1 :] = volume
        courses[name] = [course]
    return hypervolume_figure(courses)


def _by_alpha(result: SearchResult) -> Figure:
    """Return the figure of what the front gives for each alpha of the paper's table 2."""
    points = []
    for alpha, _, _ in PAPER_TABLE2:
        entry = result.at(alpha)
        accuracy = entry.sealed or Interval(entry.posterior[0], None, None, 1)
        points.append(TradeoffPoint(alpha, accuracy, Interval(entry.point.sparsity, None, None, 1)))
    return tradeoff(points, PAPER_TABLE2)
