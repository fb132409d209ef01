"""Settings: what a class of them takes and refuses, and the options and arguments made of it."""

import dataclasses
import inspect
from typing import Annotated, Literal

import numpy as np
import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

import bogp
from bogp.cli.app import load
from bogp.cli.options import from_settings
from bogp.criteria import magnitude
from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.replication.request import ReproduceSettings
from bogp.settings import Option, Several, as_arguments, checked_by, declared, named_in, settings
from bogp.settings.database import DatabaseSettings
from bogp.settings.method import MethodSettings
from bogp.settings.prune import PruneSettings
from bogp.settings.search import Execution, ScreenSettings, SearchSettings, TrainingSettings
from bogp.training import Recipe

CLASSES = (
    TrainingSettings,
    SearchSettings,
    ScreenSettings,
    Execution,
    MethodSettings,
    PruneSettings,
    DatabaseSettings,
    ReproduceSettings,
)


@settings
class Walk:
    """Some of everything."""

    goal: Annotated[str, Field(description="Where to.")]
    steps: Annotated[int, Field(ge=1, description="Steps to take."), Option(("--steps", "-n"))] = 10
    pace: Annotated[float, Field(gt=0, lt=2, description="Metres a step.")] = 0.75
    back: Annotated[bool, Field(description="And back.")] = False
    way: Annotated[Literal["road", "path"], Field(description="On what.")] = "road"
    stops: Annotated[Several[Annotated[int, Field(ge=0)]], Field(description="Where to rest.")] = ()
    friend: Annotated[str | None, Field(description="With whom."), Option(hidden=True)] = None


def walk(**given):
    return Walk(**{"goal": "home"} | given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 0}, "steps = 0: it should be greater than or equal to 1"),
        ({"pace": 0.0}, "pace = 0.0: it should be greater than 0"),
        ({"pace": 2.0}, "pace = 2.0: it should be less than 2"),
        ({"pace": float("nan")}, "pace = nan: it should be"),
        ({"steps": True}, "steps = True: it should be a valid integer"),
        ({"pace": True}, "pace = True: it should be a valid number"),
        ({"steps": np.True_}, "steps = True: it should be a valid integer"),
        ({"steps": 2.0}, "steps = 2.0: it should be a valid integer"),
        ({"steps": "2"}, "steps = '2': it should be a valid integer"),
        ({"steps": None}, "steps = None: it should be a valid integer"),
        ({"pace": "0.5"}, "pace = '0.5': it should be a valid number"),
        ({"back": 1}, "back = 1: it should be a valid boolean"),
        ({"back": "no"}, "back = 'no': it should be a valid boolean"),
        ({"goal": 7}, "goal = 7: it should be a valid string"),
        ({"way": 3}, "way = 3: it should be 'road' or 'path'"),
        ({"stops": (1, -1)}, "stops = -1: it should be greater than or equal to 0"),
        ({"stops": "ab"}, "stops = 'ab': it should be a valid integer"),
        ({"stops": (True,)}, "stops = True: it should be a valid integer"),
        ({"stps": 2}, "there is no setting 'stps': there are goal, steps, pace, back, way"),
    ],
)
def test_what_is_refused_is_one_sentence(given, sentence):
    with pytest.raises(SettingError) as refused:
        walk(**given)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_an_unknown_choice_is_guessed_and_a_missing_setting_named():
    with pytest.raises(UnknownNameError, match="unknown way 'raod': did you mean road"):
        walk(way="raod")
    with pytest.raises(SettingError, match="goal is not given: the settings are goal, steps"):
        Walk()
    with pytest.raises(TypeError):
        Walk("home")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"steps": np.int64(3)}, 3),
        ({"steps": np.uint8(3)}, 3),
        ({"pace": np.float32(0.5)}, 0.5),
        ({"pace": np.float64(0.5)}, 0.5),
        ({"pace": 1}, 1.0),
        ({"back": np.True_}, True),
        ({"stops": [3, 1]}, (3, 1)),
        ({"stops": 3}, (3,)),
        ({"stops": np.int64(3)}, (3,)),
        ({"stops": np.array([3, 1])}, (3, 1)),
        ({"stops": range(2)}, (0, 1)),
        ({"stops": (n for n in (1, 2))}, (1, 2)),
    ],
)
def test_what_is_taken_is_a_plain_value(given, taken):
    (name,) = given
    found = getattr(walk(**given), name)
    assert found == taken
    assert type(found) is type(taken)
    if isinstance(taken, tuple):
        assert {type(entry) for entry in found} == {int}


def test_settings_stay_what_they_are_and_replace_checks_again():
    chosen = walk(steps=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.steps = 4
    assert dataclasses.replace(chosen, steps=4) == walk(steps=4) != chosen
    with pytest.raises(SettingError, match="steps = 0"):
        dataclasses.replace(chosen, steps=0)
    assert Walk(**as_arguments(chosen)) == chosen


def test_defaults_are_checked_too():
    @settings
    class Wrong:
        steps: Annotated[int, Field(ge=1, description="Steps to take.")] = 0

    with pytest.raises(SettingError, match="steps = 0"):
        Wrong()
    assert Wrong(steps=1).steps == 1
    for cls in set(CLASSES) - {SearchSettings, ScreenSettings}:
        cls()
    SearchSettings(sparsity=0.5)
    ScreenSettings(sparsity=0.5)


def test_checks_by_name_are_made_when_there_is_a_value():
    @settings
    class Late:
        method: Annotated[object, checked_by("bogp.nowhere:none"), Field(description=".")] = None
        name: Annotated[str, named_in("name", "bogp.nowhere:none"), Field(description=".")]

    assert [one.name for one in declared(Late)] == ["method", "name"]
    with pytest.raises(ModuleNotFoundError):
        Late(name="x")


def test_what_is_declared_is_all_there_is():
    found = {one.name: one for one in declared(Walk)}
    assert list(found) == ["goal", "steps", "pace", "back", "way", "stops", "friend"]
    assert found["steps"].option.names == ("--steps", "-n")
    assert found["friend"].option.hidden
    assert found["goal"].default is dataclasses.MISSING
    assert (found["pace"].kind, found["pace"].default, found["pace"].help) == (
        float, 0.75, "Metres a step.",
    )  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_each_setting_says_what_it_is_for(cls):
    for one in declared(cls):
        assert one.help.endswith("."), one.name
        assert "\n" not in one.help
    assert len({one.help for one in declared(cls)}) == len(declared(cls))


def test_values_of_a_search():
    plain = SearchSettings(sparsity=0.5)
    assert (plain.trials, plain.final_seeds, plain.layers) == (24, 3, "all")
    given = SearchSettings(
        pareto=True, sparsities=np.array([0.5, 0.8]), rounds=[1, 5], criteria=magnitude, rungs=0,
        recipe={"learning_rate": 0.01, "epochs": 4},
    )  # fmt: skip
    assert (given.sparsities, given.rounds, given.rungs) == ((0.5, 0.8), (1, 5), ())
    assert given.criteria == (magnitude,)
    assert given.recipe == Recipe(learning_rate=0.01, epochs=4)
    assert SearchSettings(sparsity=0.5, layers=["1.weight"]).layers == ("1.weight",)
    assert SearchSettings(sparsity=0.5, layers="hidden").layers == "hidden"
    assert ScreenSettings(sparsity=0.5, rungs=(2, 1, 2)).rungs == (1, 2)
    with pytest.raises(SparsityError, match=r"1\.0 is not in \[0, 1\)"):
        SearchSettings(pareto=True, sparsities=(0.5, 1.0))
    with pytest.raises(UnknownNameError, match="did you mean snip"):
        SearchSettings(sparsity=0.5, criteria=("random", "snap"))


@pytest.mark.parametrize("engine", ["pool", "paper", "random"])
def test_an_engine_refuses_what_it_would_not_look_at(engine):
    """Each setting of a panel in turn, at another value than its default."""
    other = {
        "sparsities": 0.5, "criteria": "snip", "rounds": 2, "pool": 9, "batch": 9, "population": 9,
        "replicate_share": 0.1, "rungs": 1, "survivors": 0.1, "acquisition": "ucb",
        "random_search": False, "asynchronous": True, "graph_per": "layer", "nodes": 9,
        "first_batch": "known", "metric": "l1", "scale": "standardised", "fetch": "synthesize",
        "kappa": 1.0,
    }  # fmt: skip
    panels = {one.name: one.option.panel for one in declared(SearchSettings) if one.option.panel}
    assert set(panels) == {*other, "pareto"}
    for name, value in other.items():
        goal = {"alpha": 0.1} if name == "sparsities" else {"sparsity": 0.5}
        foreign = (panels[name] == "Engine pool") != (engine == "pool")
        if foreign:
            with pytest.raises(SettingError, match=rf"{name} = .*: engine '{engine}' has no such"):
                SearchSettings(engine=engine, **goal, **{name: value})
        else:
            SearchSettings(engine=engine, **goal, **{name: value})
    if engine != "pool":
        with pytest.raises(SettingError, match=f"pareto = True: engine '{engine}' has no such"):
            SearchSettings(engine=engine, pareto=True)


COMMANDS = {
    "search": (SearchSettings, Execution),
    "screen": (ScreenSettings, Execution),
    "prune": (PruneSettings,),
    "baseline": (TrainingSettings,),
    "reproduce": (ReproduceSettings,),
    "database build": (DatabaseSettings,),
    "study resume": (Execution,),
}


def command_of(words):
    name, *rest = words.split()
    command = load(name)
    return command.commands[rest[0]] if rest else command


def options_of(words):
    """Return the options of a command, and those among its settings that are no options of them."""
    command = command_of(words)
    own = set(inspect.signature(inspect.unwrap(command.callback)).parameters)
    return {parameter.name: parameter for parameter in command.params}, own


@pytest.mark.parametrize("words", COMMANDS)
def test_each_setting_is_an_option_of_the_same_default(words):
    options, own = options_of(words)
    shown = 0
    for cls in COMMANDS[words]:
        for one in declared(cls):
            if one.option.hidden or one.name in own:
                continue
            option, shown = options[one.name], shown + 1
            assert option.help == one.help
            if one.default is dataclasses.MISSING:
                assert option.required
                continue
            assert not option.required
            default = tuple(option.default) if option.multiple else option.default
            assert default == (one.default or () if option.multiple else one.default), one.name
            if one.option.names:
                assert {*option.opts, *option.secondary_opts} >= set(one.option.names)
            else:
                assert f"--{one.name.replace('_', '-')}" in option.opts
    assert shown > 0


def run_with(cls, words):
    """Return the settings that a command gets of its words."""
    seen = []

    def command(chosen: cls) -> None:
        seen.append(chosen)

    command.__annotations__["chosen"] = cls
    app = typer.Typer()
    app.command()(from_settings(command))
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return seen[0] if seen else done.output


@pytest.mark.parametrize(
    ("cls", "words", "values"),
    [
        (Walk, ["--goal", "home"], {"goal": "home"}),
        (
            Walk,
            ["--goal", "a", "-n", "3", "--pace", "1", "--back", "--way", "path", "--stops", "1",
             "--stops", "2"],
            {"goal": "a", "steps": 3, "pace": 1.0, "back": True, "way": "path", "stops": (1, 2)},
        ),
        (SearchSettings, ["-s", "0.8"], {"sparsity": 0.8}),
        (
            SearchSettings,
            ["--pareto", "--at", "0.5", "--at", "0.8", "--rounds", "1", "--rounds", "5",
             "--criterion", "snip", "--rung", "0", "--no-random-search", "--asynchronous",
             "--graph-per", "layer", "--replicate-share", "0.5", "-n", "7", "--layers", "hidden"],
            {"pareto": True, "sparsities": (0.5, 0.8), "rounds": (1, 5), "criteria": ("snip",),
             "rungs": (), "random_search": False, "asynchronous": True, "graph_per": "layer",
             "replicate_share": 0.5, "trials": 7, "layers": "hidden"},
        ),
        (
            SearchSettings,
            ["-e", "paper", "-a", "0.2", "-p", "clustering", "--kappa", "2", "--metric", "l1"],
            {"engine": "paper", "alpha": 0.2, "properties": ("clustering",), "kappa": 2.0,
             "metric": "l1"},
        ),
        (
            ScreenSettings,
            ["-s", "0.8", "-g", "9", "--rung", "2", "--rung", "1"],
            {"sparsity": 0.8, "graphs": 9, "rungs": (1, 2)},
        ),
        (
            PruneSettings,
            ["--method", "snip", "--include", "a*", "--include", "b*", "--skip-last"],
            {"method": "snip", "include": ("a*", "b*"), "skip_last": True},
        ),
        (Execution, ["--workers", "2", "--retries", "0"], {"workers": 2, "retries": 0}),
        (
            DatabaseSettings,
            ["--sparsity", "0.5", "--graphs", "3", "-p", "clustering"],
            {"sparsities": (0.5,), "graphs": 3, "names": ("clustering",)},
        ),
    ],
)  # fmt: skip
def test_words_are_the_settings_that_they_say(cls, words, values):
    assert run_with(cls, words) == cls(**values)


@pytest.mark.parametrize(
    ("cls", "words", "sentence"),
    [
        (SearchSettings, ["-s", "0.8", "--batch", "0"], "batch = 0: it should be greater"),
        (SearchSettings, [], "give one of a sparsity"),
        (ScreenSettings, ["-s", "0.8", "--survivors", "1"], "survivors = 1.0: it should be less"),
        (Walk, ["--goal", "home", "--stops", "-1"], "stops = -1"),
    ],
)
def test_bounds_hold_on_the_command_line_too(cls, words, sentence):
    with pytest.raises(SettingError, match=sentence):
        run_with(cls, words)


def test_what_is_no_number_and_what_is_missing_is_bad_usage():
    assert "Invalid value" in run_with(Walk, ["--goal", "home", "--steps", "many"])
    assert "Missing option" in run_with(Walk, [])
    assert "No such option" in run_with(Walk, ["--goal", "home", "--friend", "Ann"])


@pytest.mark.parametrize(
    ("function", "cls"),
    [
        (bogp.search, Execution),
        (bogp.screen, Execution),
        (bogp.prune, PruneSettings),
        (bogp.GraphDatabase.build, DatabaseSettings),
    ],
)
def test_a_function_that_spells_settings_has_their_defaults(function, cls):
    parameters = inspect.signature(function).parameters
    for one in declared(cls):
        assert parameters[one.name].default == one.default, one.name
        assert parameters[one.name].kind is inspect.Parameter.KEYWORD_ONLY
