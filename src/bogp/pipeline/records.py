"""What of the settings decides a result, as JSON: from this the key of a study is made."""

from __future__ import annotations

from typing import Any

from bogp.criteria import CRITERIA, criterion
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.graphs import PAPER_FIVE
from bogp.pipeline.given import model_record, own_fingerprint
from bogp.settings import as_arguments
from bogp.settings.search import ScreenSettings, SearchSettings, TrainingSettings
from bogp.training import Halving


def training_record(settings: TrainingSettings, dataset: Dataset) -> dict[str, Any]:
    """Return what decides the result of a training."""
    return {
        "model": model_record(settings.model),
        **own_fingerprint(settings.model, dataset),
        "layers": _json(settings.layers),
        "recipe": settings.recipe.model_dump(),
        "protocol": settings.protocol,
        "device": settings.device,
        "seed": settings.seed,
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
    }


def search_record(
    settings: SearchSettings, dataset: Dataset, database: GraphDatabase
) -> dict[str, Any]:
    """Return every setting that can change the result of a search's trial."""
    skipped = {*as_arguments(TrainingSettings()), "trials", "final_seeds", *settings.foreign}
    own = {name: _json(v) for name, v in as_arguments(settings).items() if name not in skipped}
    if settings.engine == "pool":
        own |= {
            "rungs": list(settings.rung_epochs),
            "criteria": [criterion(each).name for each in searched_criteria(settings)],
        }
    else:
        own["properties"] = list(settings.properties or PAPER_FIVE)
    return {**training_record(settings, dataset), **own, "database": dict(database.plan.rows())}


def screen_record(
    settings: ScreenSettings, dataset: Dataset, database: GraphDatabase
) -> dict[str, Any]:
    """Return every setting that can change the result of a screening."""
    shared = as_arguments(TrainingSettings())
    own = {name: _json(v) for name, v in as_arguments(settings).items() if name not in shared}
    plan = dict(database.plan.rows())
    return {**training_record(settings, dataset), **own, "kind": "screen", "database": plan}


def plain_settings(settings: SearchSettings) -> dict[str, Any]:
    """Return settings as JSON values that make them again: ``SearchSettings(**plain)``."""
    values = as_arguments(settings)
    kept = {name: v for name, v in values.items() if v != getattr(SearchSettings, name)}
    plain = {name: _json(value) for name, value in kept.items()}
    recipe, model = settings.recipe.model_dump(), model_record(settings.model)
    return plain | {"recipe": recipe, "model": model}


def searched_criteria(settings: SearchSettings) -> tuple[Any, ...]:
    """Return the criteria that a search chooses among."""
    return settings.criteria or tuple(CRITERIA)


def search_halving(settings: SearchSettings) -> Halving | None:
    """Return the halving of a search's new candidates, if there are rungs."""
    return Halving(settings.rung_epochs, settings.survivors) if settings.rung_epochs else None


def screen_halving(settings: ScreenSettings) -> Halving | None:
    """Return the halving of a screening's populations, if there are rungs."""
    return Halving(settings.rungs, settings.survivors) if settings.rungs else None


def _json(value: Any) -> Any:
    """Return a value as JSON has it: a tuple as a list, a criterion by its name."""
    if isinstance(value, tuple):
        return [_json(entry) for entry in value]
    return criterion(value).name if callable(value) else value
