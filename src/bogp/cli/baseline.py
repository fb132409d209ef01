"""``bogp baseline``: what a search has to beat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli.common import interruptible, print_json, print_table, progress_bar
from bogp.cli.options import Data, Json, Quiet, from_settings
from bogp.errors import SettingError
from bogp.settings.method import MethodSettings
from bogp.settings.search import TrainingSettings

if TYPE_CHECKING:
    from bogp.data import Dataset
    from bogp.pipeline import Candidate
    from bogp.training import Narrower


@from_settings
def baseline(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="What to train: `bogp list methods`.")
    ],
    settings: TrainingSettings,
    mask: MethodSettings,
    data: Data,
    seeds: Annotated[int, typer.Option(help="Repetitions, from --seed up.")] = 5,
    together: Annotated[
        bool,
        typer.Option(
            "--together",
            help="Train the seeds as one population: several times faster, but all see the "
            "mini-batches in one order, so the interval leaves that part of the noise out.",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a baseline on several seeds and print its test accuracy.

    A method is trained as often as it says, by the recipe's epochs each time: `bogp list methods`
    says what each does, whether its mask moves while it trains, and how many trainings it takes.

    Example: bogp baseline glob5 --data mnist --sparsity 0.9
    """
    from bogp.pipeline import PopulationTrainer, TrainingTask, known_candidate
    from bogp.pipeline.workers import open_workers
    from bogp.sparsify import method_words, support_words

    if seeds < 1:
        raise SettingError(f"{seeds} seeds is too few: give 1 or more")
    numbers = range(settings.seed, settings.seed + seeds)
    with (
        interruptible("a baseline keeps nothing before its end, so run it again"),
        open_workers(data) as workers,
        progress_bar(f"{method}, epochs", quiet) as progress,
    ):
        smaller = _smaller(method, mask.sparsity, settings, workers.dataset)
        spec = None if smaller is None else smaller.spec
        known = [known_candidate(method, mask.sparsity, seed, spec) for seed in numbers]
        task = TrainingTask(
            tuple(_changed(candidate, mask, method) for candidate in known),
            tuple(numbers),
            settings.seed if together else None,
            exact=False,
            report=True,
        )
        trainer = PopulationTrainer.of(settings, workers.data)
        found = workers.submit(trainer, task, progress).result()
    runs = [
        {"seed": seed, "test": one.reported.accuracy, **one.record()}
        for seed, one in zip(numbers, found, strict=True)
        if one.reported is not None
    ]
    if as_json:
        from bogp.analysis import mean_interval

        interval = mean_interval([run["test"] for run in runs])
        extra = {} if smaller is None else {"narrower": vars(smaller)}
        print_json({"method": method, **extra, "runs": runs, "test": vars(interval)})
        return
    changed = task.candidates[0]
    how = ", one order of mini-batches" if together else ""
    if mask.changes:
        how += f", {method_words(changed.method)}"
    if changed.support is not None:
        how += f", inside {support_words(changed.support)}"
    model = settings.model if smaller is None else f"{smaller.spec} for {settings.model}"
    title = f"{method}, {model}, layers {settings.layers}, protocol {settings.protocol}"
    _print(runs, title + how, smaller)


def _changed(candidate: Candidate, mask: MethodSettings, name: str) -> Candidate:
    """Return the candidate of a method with what the options say otherwise than its name."""
    from bogp.sparsify import chosen_method

    if candidate.sparsity is None:
        mask.check_without(name)
        return candidate
    method = chosen_method(candidate.method, **mask.changes)
    return replace(candidate, method=method, support=mask.support)


def _smaller(
    method: str, sparsity: float | None, settings: TrainingSettings, dataset: Dataset
) -> Narrower | None:
    """Return the network that the method ``narrower`` trains; None of other methods."""
    from bogp.pipeline.narrowing import narrower_for_sparsity
    from bogp.sparsify import NARROWER

    if method != NARROWER:
        return None
    if sparsity is None:
        raise SettingError(f"method {method!r} needs a sparsity: give 0.9 say")
    return narrower_for_sparsity(settings.model, dataset, settings.layers, sparsity)


def _print(runs: list[dict[str, Any]], title: str, smaller: Narrower | None) -> None:
    from bogp.analysis import mean_interval
    from bogp.report import Cell, Column, Table
    from bogp.sparsity import EFFECTIVE, EFFECTIVE_NOTE, effective_sparsity
    from bogp.tables import EPOCHS

    row: list[Cell] = [
        runs[0]["sparsity"],
        effective_sparsity(runs),
        mean_interval([run["test"] for run in runs]),
        runs[0]["epochs"],
    ]
    columns: list[str | Column] = ["sparsity", EFFECTIVE, "test accuracy", EPOCHS]
    notes = ["Mean over the seeds [95 % interval, Student t].", EFFECTIVE_NOTE]
    if smaller is not None:
        notes.append(f"The narrower network: {smaller}.")
    if empty := sorted({name for run in runs for name in run.get("collapsed", ())}):
        notes.append(f"No weight is kept of {', '.join(empty)}, of at least one seed.")
    if shape := runs[0]["structure"]:
        notes.append(
            f"First seed: {shape['compression']:.1f} times smaller, {shape['speed_up']:.1f} times "
            "less arithmetic at best."
        )
    print_table(Table(title, columns, [row], notes, digits=4))
