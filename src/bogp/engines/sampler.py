"""The pool search as a sampler of Optuna."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bogp.engines.acquisition import Picks
from bogp.engines.evaluations import Evaluation
from bogp.engines.features import checked_pool
from bogp.engines.pool import PoolSearch
from bogp.errors import SettingError
from bogp.keys import content_key, derive_seed


@dataclass(frozen=True)
class _Seen:
    """What a study's trials say of the candidates.

    Attributes:
        values: trial number → its value, to be maximised, for completed trials.
        busy: trial number → its candidate, for running ones.
        closed: candidates that were pruned, came out infinite, or failed too often.
        asked: how often a candidate was asked, those that failed not counted.
    """

    values: Mapping[int, Evaluation]
    busy: Mapping[int, int]
    closed: frozenset[int]
    asked: int


@final
class PoolSampler(BaseSampler):
    """Suggest candidates of a finite pool to an Optuna study, by :class:`PoolSearch`.

    The objective says ``trial.suggest_int("candidate", 0, N - 1)`` and looks the row up itself.
    Everything is read from the study, so that a new sampler of the same seed and pool goes on
    where another stopped, and asks what that one would have asked:

    - A completed trial is told; a second one of the same candidate is a replicate.
    - A running one is pending: others are asked with it in mind.
    - A pruned one is not told, for a value from early in training is not the value that is
      searched for; its candidate is not asked again.
    - A failed one is as if it had never been, and its candidate may be asked again, until it has
      failed more than ``retries`` times. A process that was killed leaves its trial running:
      ``study.tell(number, state=TrialState.FAIL)`` gives the candidate back.

    A candidate is chosen when it is suggested, so that one that was enqueued costs nothing. Any
    other parameter of the study is drawn at random by itself. What the search has fitted is kept in
    the study's user attribute ``bogp:<name>``.

    Args:
        pool: (N, D) features of the candidates, as for PoolSearch.
        seed: decides all draws.
        name: the integer parameter that numbers the candidates.
        acquisition: a name or a function, as for PoolSearch.
        noise: known SD of one evaluation in units of the objective, None to estimate it.
        initial: candidates to be asked before all others.
        kappa: how many SDs above the mean the bound of "ucb" lies.
        variance: name of the user attribute in which a trial keeps the variance of its value,
            where that is a mean of several runs say; a trial without it has the noise of one
            evaluation.
        retries: how often a candidate whose trials fail is asked again.
        threads: how many to compute on.

    Raises:
        SettingError: a bad pool or setting; on use, a study of several objectives, a parameter
            that does not number the pool, or no candidate left.
        UnknownNameError: no such acquisition.

    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> pool = [[x / 10] for x in range(11)]
    >>> study = optuna.create_study(sampler=PoolSampler(pool, seed=1), direction="maximize")
    >>> study.optimize(lambda t: -((t.suggest_int("candidate", 0, 10) - 6) ** 2), n_trials=7)
    >>> study.best_params
    {'candidate': 6}
    """

    def __init__(
        self,
        pool: npt.ArrayLike,
        *,
        seed: int = 0,
        name: str = "candidate",
        acquisition: str | Picks = "qlognei",
        noise: float | None = None,
        initial: Iterable[int] = (),
        kappa: float = 2.0,
        variance: str | None = None,
        retries: int = 2,
        threads: int = 1,
    ) -> None:
        if retries < 0:
            raise SettingError(f"retries = {retries}: give 0 or more")
        self._pool = checked_pool(pool)
        self._seed, self._name, self._variance = int(seed), name, variance
        self._retries = int(retries)
        self._settings: dict[str, Any] = {
            "seed": self._seed,
            "acquisition": acquisition,
            "noise": noise,
            "initial": tuple(initial),
            "kappa": kappa,
        }
        named = acquisition
        if callable(acquisition):
            named = f"{acquisition.__module__}.{getattr(acquisition, '__qualname__', acquisition)}"
        self._settings_key = content_key(self._settings | {"acquisition": named})
        self._threads = threads
        self._new_search()  # refuses bad settings now and not in the middle of a study
        self._pool_key = content_key(
            {"shape": self._pool.shape, "bytes": self._pool.tobytes().hex()}
        )
        self._begin("")

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(self.__dict__)
        for name in ("_lock", "_search", "_told", "_handed"):  # a lock cannot be pickled
            del kept[name]
        return kept | {"_study_name": ""}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin("")

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Refuse a study of several objectives."""
        if len(study.directions) > 1:
            raise SettingError(
                f"study {study.study_name!r} has {len(study.directions)} objectives and "
                "PoolSampler searches for one: create the study with one direction, or use "
                "bogp.ParetoSearch"
            )

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return nothing: the candidate is chosen when it is suggested."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing, as there is no relative search space."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the next candidate, or a random value of any other parameter."""
        if param_name != self._name:
            # By trial, and not one stream: a resumed study draws what an unbroken one would.
            seed = derive_seed(self._seed, "parameter", param_name, trial.number) % 2**32
            draw = RandomSampler(seed=seed)
            return draw.sample_independent(study, trial, param_name, param_distribution)
        if param_distribution != IntDistribution(0, len(self._pool) - 1):
            raise SettingError(
                f"parameter {self._name!r} is {param_distribution} and the pool holds "
                f"{len(self._pool)} candidates: use trial.suggest_int({self._name!r}, 0, "
                f"{len(self._pool) - 1})"
            )
        # A bracket of Hyperband shows some of the trials, and all of them were evaluated.
        whole: optuna.Study = getattr(study, "_study", study)
        with self._lock:
            return self._next(whole, trial.number)

    def _next(self, study: optuna.Study, number: int) -> int:
        """Return the candidate of a trial, and keep in the study what the choice rested on."""
        trials = study.get_trials(deepcopy=False)
        seen = self._read(study, trials, number)
        search = self._up_to_date(study, seen)
        taken = {*search.told, *seen.busy.values(), *seen.closed}
        if len(taken) == len(self._pool):
            raise SettingError(
                f"all {len(self._pool)} candidates of the pool are evaluated or under way: ask for "
                "fewer trials"
            )
        # How often was asked is counted in the study too: a trial that failed never was.
        state = search.state() | {
            "asks": seen.asked,
            "pending": list(dict.fromkeys(seen.busy.values())),
            "forgotten": sorted(seen.closed.difference(search.told)),
        }
        search.restore(state)
        (index,) = search.ask()
        self._handed[number] = index
        study.set_user_attr(
            f"bogp:{self._name}",
            {
                "pool": self._pool_key,
                "settings": self._settings_key,
                "told": list(self._told),
                "state": search.state(),
            },
        )
        return index

    def _up_to_date(self, study: optuna.Study, seen: _Seen) -> PoolSearch:
        """Return the search that was told what the study holds, new or the one of last time."""
        known = study.study_name == self._study_name
        if not known or any(seen.values.get(n) != was for n, was in self._told.items()):
            self._begin(study.study_name)
            self._resume(study, seen)
        for number, value in sorted(seen.values.items()):
            if number not in self._told:
                self._tell(number, value)
        return self._search

    def _resume(self, study: optuna.Study, seen: _Seen) -> None:
        """Tell a new search what the one before was told, in its order, and go on from its fit."""
        kept = study.user_attrs.get(f"bogp:{self._name}")
        if kept is None:
            return
        if kept["pool"] != self._pool_key:
            raise SettingError(
                f"study {study.study_name!r} was made with another pool: give that pool, or use "
                "another study"
            )
        # With other settings what was told still counts, but not what was fitted.
        if kept["settings"] != self._settings_key:
            return
        if all(number in seen.values for number in kept["told"]):
            for number in kept["told"]:
                self._tell(number, seen.values[number])
            self._search.restore(kept["state"])

    def _tell(self, number: int, told: Evaluation) -> None:
        self._search.tell(told.index, told.value, told.variance)
        self._told[number] = told

    def _read(self, study: optuna.Study, trials: list[FrozenTrial], number: int) -> _Seen:
        """Return what the trials of the study say, but for the one that is being asked for."""
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        values: dict[int, Evaluation] = {}
        busy: dict[int, int] = {}
        closed: set[int] = set()
        failed: Counter[int] = Counter()
        ended = 0
        for trial in trials:
            # One that was handed out a moment ago is not in the storage yet.
            index = self._index(study, trial, trial.params.get(self._name))
            if index is None and trial.state == TrialState.RUNNING and trial.number != number:
                index = self._handed.get(trial.number)
            if index is None:
                continue
            if trial.state == TrialState.COMPLETE and math.isfinite(trial.values[0]):
                variance = None if self._variance is None else trial.user_attrs.get(self._variance)
                values[trial.number] = Evaluation(index, sign * trial.values[0], variance)
            elif trial.state == TrialState.FAIL:
                failed[index] += 1
            elif trial.state == TrialState.RUNNING:
                busy[trial.number] = index
            else:
                ended += 1
                closed.add(index)
        asked = len(values) + len(busy) + ended
        closed |= {index for index, times in failed.items() if times > self._retries}
        return _Seen(values, busy, frozenset(closed), asked)

    def _index(self, study: optuna.Study, trial: FrozenTrial, value: Any) -> int | None:
        """Return a candidate as the storage has it, or raise where the pool has none such."""
        if value is None:
            return None
        if isinstance(value, int) and 0 <= value < len(self._pool):
            return value
        raise SettingError(
            f"trial {trial.number} of study {study.study_name!r} has {self._name} = {value!r} and "
            f"the pool holds {len(self._pool)} candidates: give the pool that the study is about"
        )

    def _begin(self, study_name: str) -> None:
        """Forget everything but the settings; what is known comes from the study."""
        self._study_name = study_name
        self._search = self._new_search()
        self._told: dict[int, Evaluation] = {}
        self._handed: dict[int, int] = {}
        self._lock = getattr(self, "_lock", None) or threading.Lock()

    def _new_search(self) -> PoolSearch:
        return PoolSearch(np.array(self._pool), threads=self._threads, **self._settings)
