"""Trials written to Optuna's storage: several at once, in one transaction where that can be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.orm import Session

_SCHEMA = 12
"""The version of Optuna's tables that is written directly; others go through its methods."""


def begin_trials(
    backend: BaseStorage, study_id: int, trials: Sequence[FrozenTrial]
) -> tuple[int, ...]:
    """Store running trials and return their ids.

    In a relational database all of them are there or none. Optuna's own way is one transaction a
    trial and a query a parameter, which takes several times as long and leaves the same rows.
    """
    models = _models(backend)
    if models is None or not isinstance(backend, RDBStorage):
        return tuple(backend.create_new_trial(study_id, trial) for trial in trials)
    with Session(backend.engine) as session:
        study = session.query(models.StudyModel).filter(models.StudyModel.study_id == study_id)
        study.with_for_update().one()  # as Optuna does, so that no two trials get one number
        stored = session.query(models.TrialModel).filter(models.TrialModel.study_id == study_id)
        before, now = stored.count(), datetime.now()
        rows = [
            models.TrialModel(
                study_id=study_id,
                number=before + place,
                state=TrialState.RUNNING,
                datetime_start=now,
            )
            for place in range(len(trials))
        ]
        session.add_all(rows)
        session.flush()
        ids = tuple(int(row.trial_id) for row in rows)
        for trial_id, trial in zip(ids, trials, strict=True):
            session.add_all(_parameters(models, trial_id, trial))
            session.add_all(_attributes(models, trial_id, trial.user_attrs))
        session.commit()
    return ids


def end_trial(
    backend: BaseStorage,
    trial_id: int,
    state: TrialState,
    attributes: Mapping[str, Any],
    *,
    values: Sequence[float] | None = None,
    steps: Sequence[float] = (),
) -> None:
    """End a running trial: attributes, values after epoch 1, 2, ..., then values and state.

    In a relational database it is one transaction; elsewhere the state is last, so that a trial
    which counts as ended is whole.

    Raises:
        optuna.exceptions.UpdateFinishedTrialError: the trial has ended already.
    """
    models = _models(backend)
    if models is None or not isinstance(backend, RDBStorage):
        for key, value in attributes.items():
            backend.set_trial_user_attr(trial_id, key, value)
        for epoch, value in enumerate(steps, 1):
            backend.set_trial_intermediate_value(trial_id, epoch, value)
        backend.set_trial_state_values(trial_id, state, values)
        return
    with Session(backend.engine) as session:
        found = session.query(models.TrialModel).filter(models.TrialModel.trial_id == trial_id)
        trial = found.with_for_update().one()
        if trial.state != TrialState.RUNNING:
            raise UpdateFinishedTrialError(f"trial {trial.number} has ended already")
        session.add_all(_attributes(models, trial_id, attributes))
        session.add_all(_numbers(models, trial_id, values or (), steps))
        trial.state = state
        trial.datetime_complete = datetime.now()
        session.commit()


def _models(backend: BaseStorage) -> ModuleType | None:
    """Return the module of Optuna's tables if they are those that this file was written for."""
    if not isinstance(backend, RDBStorage):
        return None
    try:
        from optuna.storages._rdb import models
    except ImportError:
        return None
    return models if models.SCHEMA_VERSION == _SCHEMA else None


def _parameters(models: ModuleType, trial_id: int, trial: FrozenTrial) -> list[Any]:
    from optuna.distributions import distribution_to_json

    return [
        models.TrialParamModel(
            trial_id=trial_id,
            param_name=name,
            param_value=trial.distributions[name].to_internal_repr(value),
            distribution_json=distribution_to_json(trial.distributions[name]),
        )
        for name, value in trial.params.items()
    ]


def _attributes(models: ModuleType, trial_id: int, attributes: Mapping[str, Any]) -> list[Any]:
    return [
        models.TrialUserAttributeModel(trial_id=trial_id, key=key, value_json=json.dumps(value))
        for key, value in attributes.items()
    ]


def _numbers(
    models: ModuleType, trial_id: int, values: Sequence[float], steps: Sequence[float]
) -> list[Any]:
    value_type = models.TrialValueModel.TrialValueType.FINITE
    step_type = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    rows: list[Any] = [
        models.TrialValueModel(
            trial_id=trial_id, objective=objective, value=value, value_type=value_type
        )
        for objective, value in enumerate(values)
    ]
    rows += [
        models.TrialIntermediateValueModel(
            trial_id=trial_id,
            step=epoch,
            intermediate_value=value,
            intermediate_value_type=step_type,
        )
        for epoch, value in enumerate(steps, 1)
    ]
    return rows
