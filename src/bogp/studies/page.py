"""The report of a search: its tables and figures on one offline page."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bogp.analysis import Interval
from bogp.controls import CONTROLS
from bogp.database import GraphDatabase
from bogp.graphs import RelationalGraph
from bogp.pipeline import FrontPoint, Point, SearchResult
from bogp.report import (
    Picture,
    Section,
    Table,
    TradeoffPoint,
    graph_and_mask,
    picture,
    plural,
    search_trace,
    tradeoff,
    write_report,
)
from bogp.report.evidence import course_figure, interval_figure, support_figure
from bogp.report.fronts import FrontPoint as DrawnPoint
from bogp.report.fronts import front_figure, hypervolume_figure
from bogp.studies.paper import PAPER_TABLE2
from bogp.studies.tables import (
    PAPER_ALPHAS,
    alpha_table,
    change_table,
    comparison_table,
    data_sets,
    found_tables,
    front_table,
    leader_table,
    noise_table,
    objective,
    winner_name,
    winner_table,
)
from bogp.study import FinishedTrial

ARMS = {"search": "search", "random": "random search"}
_NORMAL = 1.959963984540054  # of a posterior's 95 % interval


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
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("bogp", "torch", "botorch", "numpy")},
        },
    }
    title = f"bogp: search of {name}{goal}"
    return write_report(path, title, search_sections(result, database), provenance)


def search_sections(result: SearchResult, database: GraphDatabase | None) -> list[Section]:
    """Return the parts of a search's report, the result first.

    Without the database the winner's graph is not drawn.
    """
    if result.settings.get("pareto"):
        return _trade_off_sections(result)
    if result.evidence is None:
        return _plain_sections(result, database)
    sections = [_result_section(result), _controls_section(result)]
    noise = noise_table(result)
    if noise is not None:
        text = (
            "Each training of a candidate differs by its seed. What the search can tell apart is "
            "a matter of how far candidates differ beside that."
        )
        sections.append(Section("Candidates against seeds", text, [noise]))
    sections.append(_tried_section(result))
    winner = _winner_picture(result, database)
    if winner is not None:
        sections.append(Section("The winner's graph and mask", "", [], [winner]))
    return [*sections, _cost_section(result)]


def search_figures(result: SearchResult, database: GraphDatabase) -> dict[str, Figure]:
    """Return the figures of a search by file name, for who wants them beside the page."""
    if result.settings.get("pareto"):
        return {"front": _front(result), "hypervolume": _hypervolume(result)}
    figures = {"course": _course(result)}
    if result.evidence is not None:
        figures["support"] = _support(result)
        if result.evidence.comparisons:
            figures["controls"] = _leads(result)
    winner = _winner_figure(result, database)
    return figures | ({} if winner is None else {"winner": winner})


def _result_section(result: SearchResult) -> Section:
    chosen_on, reported_on, _ = data_sets(result)
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
        caption = f"From the selected value to the sealed {reported_on}: one row an estimate."
        figures = [picture(figure, caption)]
    return Section("Result", text, [winner_table(result)], figures)


def _estimates(result: SearchResult) -> list[tuple[str, Interval]]:
    """Return what is known of the winner's accuracy; none where the value is another thing."""
    evidence = result.evidence
    assert evidence is not None
    if result.settings["alpha"] is not None:
        return []
    chosen_on, reported_on, _ = data_sets(result)
    mean, deviation = evidence.posterior
    rows = []
    if np.isfinite(evidence.selected):
        rows.append(("best trial (chosen)", Interval(evidence.selected, None, None, 1)))
    spread = _NORMAL * deviation
    rows.append(("posterior", Interval(mean, mean - spread, mean + spread, 1)))
    corrected = (evidence.shrunken, evidence.conditional)
    rows += [(f"corrected ({each.method})", each.corrected) for each in corrected if each]
    fresh = ((chosen_on, evidence.fresh), (reported_on, evidence.sealed))
    return rows + [(f"{name}, fresh seeds", interval) for name, interval in fresh if interval]


def _controls_section(result: SearchResult) -> Section:
    evidence = result.evidence
    assert evidence is not None
    heading = "Random search and controls"
    if not evidence.comparisons:
        text = "No network was trained on a fresh seed, so that there is nothing to compare with."
        return Section(heading, text)
    applied = [entry.name for entry in evidence.comparisons if entry.name in CONTROLS]
    words = "\n".join(f"- {name}: {CONTROLS[name].help}" for name in applied)
    text = (
        "Random search had the same pool, the same training, the same early stopping and the same "
        "choice of its winner; only what proposes candidates differs. Each control takes one "
        f"thing from the winner:\n\n{words}"
    )
    caption = (
        "The winner's lead over each, in percentage points, paired by seed; vermilion where the "
        "95 % interval excludes 0."
    )
    tables = [comparison_table(result)]
    changed = change_table(result)
    return Section(
        heading,
        text,
        tables if changed is None else [*tables, changed],
        [picture(_leads(result), caption)],
    )


def _leads(result: SearchResult) -> Figure:
    evidence = result.evidence
    assert evidence is not None
    rows = [(entry.name, _scaled(entry.lead, 100.0)) for entry in evidence.comparisons]
    _, reported_on, _ = data_sets(result)
    count = plural(evidence.comparisons[0].lead.count, "fresh seed")
    return interval_figure(
        rows, title="Lead of the winner", xlabel=f"percentage points on the {reported_on}",
        note=f"{count}, 95 % t intervals of paired differences", zero=True,
    )  # fmt: skip


def _scaled(interval: Interval, scale: float) -> Interval:
    low = None if interval.low is None else scale * interval.low
    high = None if interval.high is None else scale * interval.high
    return Interval(scale * interval.estimate, low, high, interval.count, interval.level)


def _tried_section(result: SearchResult) -> Section:
    figures = [
        picture(
            _course(result),
            "Every trial in the order in which it was asked, and the best so far. Hollow and faint "
            "ones were stopped early; what random search spent is what the search spent.",
        ),
        picture(
            _support(result),
            "All trials of both arms by the density of what bounds the mask. With the complete "
            "support a criterion is the known method: magnitude is Glob or Unif, then SNIP, GraSP, "
            "SynFlow.",
        ),
    ]
    return Section("What was tried", "", [leader_table(result)], figures)


def _course(result: SearchResult) -> Figure:
    chosen_on, _, _ = data_sets(result)
    if result.evidence is None:
        trace = [np.array([trial.value for trial in result.trials])]
        name = f"engine {result.settings['engine']}"
        return search_trace({name: trace}, ylabel=f"{objective(result)}, {chosen_on}")
    arms = {
        name: [(trial.value, trial.stopped) for trial in trials]
        for name, trials in _arms(result).items()
    }
    return course_figure(arms, ylabel=f"{objective(result)}, {chosen_on}")


def _arms(result: SearchResult) -> dict[str, tuple[FinishedTrial, ...]]:
    found = {ARMS["search"]: result.trials}
    return found | ({ARMS["random"]: result.random_trials} if result.random_trials else {})


def _support(result: SearchResult) -> Figure:
    rows: dict[str, list[tuple[float, float, bool]]] = {}
    for trial in (*result.trials, *result.random_trials):
        point = Point.from_record(trial.point)
        density = round(1.0 - point.support, 9)
        rows.setdefault(point.criterion, []).append((density, trial.value, trial.stopped))
    chosen_on, _, _ = data_sets(result)
    return support_figure(
        dict(sorted(rows.items())), ylabel=f"{objective(result)}, {chosen_on}",
        note="lines join the means of trials that ended whole",
    )  # fmt: skip


def _winner_picture(result: SearchResult, database: GraphDatabase | None) -> Picture | None:
    figure = None if database is None else _winner_figure(result, database)
    if figure is None:
        return None
    caption = (
        f"Left, the relational graph of the winner, {winner_name(result)}: what joins groups of "
        "channels. Right, the mask of the first pruned layer that came of it: dark weights are "
        "kept."
    )
    return picture(figure, caption)


def _winner_figure(result: SearchResult, database: GraphDatabase) -> Figure | None:
    """Return the winner's graph beside its mask; None where there is no graph to draw."""
    if result.mask is None:
        return None
    name, layer = next(iter(result.mask.items()))
    place = (layer if layer.dim() == 2 else layer.flatten(2).any(2)).cpu().numpy()
    if "made" in result.best.record:
        packed = bytes.fromhex(result.best.record["made"])
        graph = RelationalGraph.from_packed(packed, database.nodes)
        links = graph.adjacency
    else:
        number = result.best.point.get("graph", result.best.record.get("graph"))
        if number is None:
            links = np.ones((database.nodes, database.nodes), dtype=bool)
        else:
            record = database.record(number)
            if record.packed is None:
                return None
            links = record.graph.adjacency
    return graph_and_mask(links, place, f"{winner_name(result)}; mask of {name}")


def _cost_section(result: SearchResult) -> Section:
    total = sum(result.epochs.values())
    rows: list[list[Any]] = [
        [name, f"{epochs:,}", f"{100 * epochs / max(1, total):.0f} %"]
        for name, epochs in result.epochs.items()
    ]
    rows.append(["in all", f"{total:,}", "100 %"])
    stopped = sum(trial.stopped for trial in (*result.trials, *result.random_trials))
    notes = [
        f"One epoch of one network each. {plural(stopped, 'trial')} of "
        f"{len(result.trials) + len(result.random_trials)} were stopped early, and only the epochs "
        "that they ran are counted."
    ]
    return Section(
        "Training spent", "", [Table("Epochs of training", ["on", "epochs", "share"], rows, notes)]
    )


def _plain_sections(result: SearchResult, database: GraphDatabase | None) -> list[Section]:
    course = picture(_course(result), "The best so far, trial by trial.")
    sections = [Section("Result", "", found_tables(result), [course])]
    winner = _winner_picture(result, database)
    if winner is not None:
        sections.append(Section("The winner's graph and mask", "", [], [winner]))
    return sections


def _trade_off_sections(result: SearchResult) -> list[Section]:
    chosen_on, reported_on, _ = data_sets(result)
    text = (
        f"No candidate of the front is beaten in both accuracy and sparsity, by posterior mean on "
        f"the {chosen_on}. Each was then trained on fresh seeds, and the {reported_on} was opened "
        "once."
    )
    figure = picture(
        _front(result),
        "Every trial that ended whole, and the front of each arm; its points are means over fresh "
        f"seeds with their 95 % intervals, on the {chosen_on}, where there are such.",
    )
    tables = [front_table(result)]
    if result.random_front:
        tables.append(front_table(result, "random"))
    alphas = picture(
        _by_alpha(result),
        "What one front gives for each alpha of the paper's f2, beside the paper's own search "
        "for each of them.",
    )
    volumes = picture(
        _hypervolume(result),
        "The area that the front dominates, by posterior mean, from chance accuracy and sparsity "
        "0, after each batch; the trials of the first have what it ended with.",
    )
    return [
        Section("The front", text, tables, [figure]),
        Section("The paper's f2 from the same front", "", [alpha_table(result)], [alphas]),
        Section("Hypervolume over trials", "", [], [volumes]),
        _cost_section(result),
    ]


def _front(result: SearchResult) -> Figure:
    arms = _arms(result)
    trials = {
        name: [[trial.value, trial.point["sparsity"]] for trial in each if not trial.stopped]
        for name, each in arms.items()
    }
    fronts = {ARMS["search"]: _drawn(result.front)}
    if result.random_front:
        fronts[ARMS["random"]] = _drawn(result.random_front)
    chosen_on, _, _ = data_sets(result)
    return front_figure(trials, fronts, note="trials that ended whole", ylabel=f"{chosen_on}")


def _drawn(front: Sequence[FrontPoint]) -> list[DrawnPoint]:
    found = []
    for entry in front:
        mean, deviation = entry.posterior
        spread = _NORMAL * deviation
        value = entry.fresh or Interval(mean, mean - spread, mean + spread, 1)
        found.append(DrawnPoint(value, entry.point.sparsity))
    return found


def _hypervolume(result: SearchResult) -> Figure:
    """Return the hypervolume by trial: it changes where a batch ends."""
    courses = {}
    for name, trials in _arms(result).items():
        arm = "search" if name == ARMS["search"] else "random"
        ends = np.cumsum([sum(t.batch == b for t in trials) for b in _batches(trials)])
        volumes = result.hypervolumes[arm]
        course = np.full(int(ends[-1]), volumes[0])
        for end, volume in zip(ends, volumes, strict=True):
            course[end - 1 :] = volume
        courses[name] = [course]
    return hypervolume_figure(courses, note="steps where a batch ends")


def _batches(trials: Sequence[FinishedTrial]) -> list[int]:
    return sorted({trial.batch for trial in trials})


def _by_alpha(result: SearchResult) -> Figure:
    points = []
    for alpha in PAPER_ALPHAS:
        entry = result.at(alpha)
        accuracy = entry.sealed or Interval(entry.posterior[0], None, None, 1)
        points.append(TradeoffPoint(alpha, accuracy, Interval(entry.point.sparsity, None, None, 1)))
    return tradeoff(points, PAPER_TABLE2)
