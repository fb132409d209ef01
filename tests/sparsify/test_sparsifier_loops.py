"""The sparsifier in other people's loops: mixed precision, accumulation, schedules, resuming."""

import io
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn, optim

import bogp
from bogp.cores import torch_threads
from bogp.errors import BogpError, MaskError, SettingError, SparsityError
from bogp.sparsify import METHODS, Sparsifier, make_mover
from bogp.training.checks import make_task
from bogp.training.randomness import module_seed, seeded
from bogp.training.steps import make_optimizer

STEPS = 24


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 3))


def batch(step, size=16):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(size, 6, generator=generator), torch.arange(size) % 3


def loss_of(model, step):
    inputs, targets = batch(step)
    return nn.functional.cross_entropy(model(inputs), targets)


def moving(name, every=4):
    """A method by name, with moves every few steps."""
    method = METHODS[name]
    if method.moves is None:
        return method
    return bogp.Method(
        method.criterion,
        method.scope,
        moves=bogp.Moves(**{**vars(method.moves), "every": every, "end": 0.8}),
    )


@pytest.fixture(autouse=True)
def one_thread():
    """What is computed here is compared to the bit with what other processes and loops compute."""
    with torch_threads(1):
        yield


def exact(model, mask):
    """Whether pruned weights, and no others, are zero."""
    return all(torch.equal(model.get_parameter(name) != 0, kept) for name, kept in mask.items())


def started(name, *, sparsity=0.7, optimizer=None, **settings):
    model = network()
    make = optimizer or (lambda p: optim.AdamW(p, 0.01))
    found = make(list(model.parameters()))
    settings = {"method": moving(name), "steps": STEPS, **settings}
    return model, found, Sparsifier(model, found, sparsity=sparsity, **settings)


def train(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()


def same(first, second):
    """Whether two nested states are equal, tensor by tensor."""
    if torch.is_tensor(first):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("save_at", [0, 3, 4, 13, STEPS - 1, STEPS])
@pytest.mark.parametrize("name", ["gradual", "set", "rigl", "imp", "iterative", "magnitude"])
def test_a_training_goes_on_to_the_bit_from_a_saved_state(name, save_at):
    model, optimizer, sparsifier = started(name)
    train(model, optimizer, range(STEPS))
    unbroken = sparsifier.finish(), model.state_dict(), optimizer.state_dict()

    model, optimizer, sparsifier = started(name)
    train(model, optimizer, range(save_at))
    file = io.BytesIO()
    parts = {"model": model, "optimizer": optimizer, "sparsifier": sparsifier}
    torch.save({key: part.state_dict() for key, part in parts.items()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    model, optimizer, sparsifier = started(name)
    for key, part in (("model", model), ("optimizer", optimizer), ("sparsifier", sparsifier)):
        part.load_state_dict(state[key])
    assert sparsifier.step == save_at
    train(model, optimizer, range(save_at, STEPS))
    assert same(unbroken, (sparsifier.finish(), model.state_dict(), optimizer.state_dict()))


def test_lbfgs_goes_on_along_its_directions():
    def run(model, optimizer, steps):
        for step in steps:

            def closure(step=step):
                optimizer.zero_grad()
                loss = loss_of(model, step)
                loss.backward()
                return loss

            optimizer.step(closure)

    def make(parameters):
        return optim.LBFGS(parameters, 0.1, max_iter=2)

    model, optimizer, sparsifier = started("gradual", optimizer=make)
    run(model, optimizer, range(10))
    states = [part.state_dict() for part in (model, optimizer, sparsifier)]
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    run(model, optimizer, range(10, STEPS))
    others = started("gradual", optimizer=make)
    for part, state in zip(others, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    run(*others[:2], range(10, STEPS))
    assert same(model.state_dict(), others[0].state_dict())
    assert sparsifier.finish() == others[2].finish()


def test_a_training_goes_on_in_another_process(tmp_path):
    code = """
        import sys
        sys.path.insert(0, {folder!r})
        import torch
        torch.set_num_threads(1)
        from test_sparsifier_loops import STEPS, started, train
        parts = dict(zip(("model", "optimizer", "sparsifier"), started("rigl")))
        state = torch.load({path!r}, weights_only=True)
        for key, part in parts.items():
            part.load_state_dict(state[key])
        train(parts["model"], parts["optimizer"], range(9, STEPS))
        mask = parts["sparsifier"].finish()
        torch.save({{"mask": dict(mask), "model": parts["model"].state_dict()}}, {path!r})
    """
    path, folder = str(tmp_path / "state.pt"), str(Path(__file__).parent)
    parts = dict(zip(("model", "optimizer", "sparsifier"), started("rigl"), strict=True))
    train(parts["model"], parts["optimizer"], range(9))
    torch.save({key: part.state_dict() for key, part in parts.items()}, path)
    train(parts["model"], parts["optimizer"], range(9, STEPS))
    script = textwrap.dedent(code).format(path=path, folder=folder)
    subprocess.run([sys.executable, "-c", script], check=True)
    found = torch.load(path, weights_only=True)
    assert bogp.Mask(found["mask"]) == parts["sparsifier"].finish()
    assert same(found["model"], parts["model"].state_dict())


@pytest.mark.parametrize("name", ["gradual", "rigl"])
@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_gradient_scaling_skips_do_not_count(name, fused):
    """Fused optimisers skip inside their kernel, others are not called at all."""
    model, optimizer, sparsifier = started(
        name, optimizer=lambda p: optim.Adam(p, 0.01, fused=fused)
    )
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    skipped = {2, 7, 8}
    for step in range(STEPS + len(skipped)):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, step)).backward()
        if step in skipped:
            model[0].weight.grad[0, 0] = torch.inf
        before = model[0].weight.detach().clone(), sparsifier.mask
        scaler.step(optimizer)
        scaler.update()
        if step in skipped:
            assert torch.equal(before[0], model[0].weight)
            assert sparsifier.mask == before[1]
    assert sparsifier.step == STEPS
    mask = sparsifier.finish()
    assert mask.kept == 27
    assert exact(model, mask)


def test_mixed_precision_accumulation_clipping_and_a_schedule():
    model, optimizer, sparsifier = started("rigl")
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=STEPS)
    for step in range(STEPS):
        optimizer.zero_grad()
        for part in range(3):
            with torch.autocast("cpu", torch.bfloat16):
                loss = loss_of(model, 3 * step + part) / 3
            loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        for name, kept in sparsifier.mask.items():
            assert not model.get_parameter(name)[~kept].any()
    mask = sparsifier.finish()
    assert sparsifier.step == STEPS
    assert mask.kept == 27
    assert exact(model, mask)


def test_a_compiled_model():
    model = network()
    settings = {"sparsity": 0.7, "method": moving("gradual"), "steps": STEPS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of what it imports to compile
        try:
            compiled = torch.compile(model)
            compiled(batch(0)[0])
        except Exception as error:
            pytest.skip(f"nothing compiles here: {type(error).__name__}")
        optimizer = optim.SGD(compiled.parameters(), 0.1, momentum=0.9)
        sparsifier = Sparsifier(compiled, optimizer, **settings)
        train(compiled, optimizer, range(STEPS))
    mask = sparsifier.finish()
    assert list(mask) == ["0.weight", "3.weight"]
    assert exact(model, mask)


def test_parameter_groups_and_frozen_layers():
    model = network()
    model[3].weight.requires_grad_(False)
    frozen = model[3].weight.clone()
    groups = [{"params": model[0].parameters()}, {"params": [model[3].bias], "lr": 0.5}]
    optimizer = optim.SGD(groups, 0.1, momentum=0.9, weight_decay=0.1)
    sparsifier = Sparsifier(model, optimizer, sparsity=0.7, method=moving("gradual"), steps=STEPS)
    train(model, optimizer, range(STEPS))
    mask = sparsifier.finish()
    assert list(mask) == ["0.weight"]
    assert mask.kept == 18
    assert exact(model, mask)
    assert torch.equal(model[3].weight, frozen)


def test_finishing_early_and_twice_and_training_longer_than_said():
    model, optimizer, sparsifier = started("gradual")
    train(model, optimizer, range(5))
    mask = sparsifier.finish()
    assert mask.kept == 27
    assert exact(model, mask)
    train(model, optimizer, range(1))
    assert not exact(model, mask)  # it is held no more
    before = model[0].weight.clone()
    assert sparsifier.finish() is mask
    assert torch.equal(model[0].weight, before)

    model, optimizer, sparsifier = started("gradual")
    train(model, optimizer, range(2 * STEPS))
    assert exact(model, sparsifier.mask)
    assert sparsifier.mask.kept == sparsifier.finish().kept == 27


RECIPE = bogp.Recipe(optimizer="sgd", momentum=0.9, learning_rate=0.05, batch_size=16, epochs=3)


@pytest.mark.parametrize("name", ["gradual", "set", "rigl"])
def test_the_built_in_training_is_a_loop_with_the_sparsifier(name):
    """By hand, with public names and the task's mini-batches, it is the same to the bit."""
    inputs, targets = batch(0, 128)
    model = network()
    settings = {"sparsity": 0.7, "method": moving(name), "steps": STEPS, "seed": 5}
    mover = make_mover(model, settings["method"], 0.7, steps=STEPS, seed=5)
    found = bogp.train(model, inputs, targets, RECIPE, mask=mover, seed=3)

    optimizer = make_optimizer(model.parameters(), RECIPE)
    sparsifier = Sparsifier(model, optimizer, **settings)
    task = make_task((inputs, targets), RECIPE, 3, None)
    generator = task.generator()
    with seeded(module_seed(3)):
        for _ in range(RECIPE.epochs):
            for some, classes in task.batches(generator):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(some), classes).backward()
                optimizer.step()
    assert found.mask == sparsifier.finish()
    assert same(found.model.state_dict(), model.state_dict())


def test_training_that_diverges_is_reported_and_raises_in_ones_own_loop():
    inputs, targets = batch(0, 128)
    recipe = bogp.Recipe(optimizer="sgd", learning_rate=1e30, batch_size=16, epochs=3)
    mover = make_mover(network(), moving("gradual"), 0.7, steps=STEPS)
    found = bogp.train(network(), inputs, targets, recipe, mask=mover, seed=3)
    assert found.diverged

    model, optimizer, _ = started("gradual", optimizer=lambda p: optim.SGD(p, torch.inf))
    with pytest.raises(MaskError, match="NaN"):
        train(model, optimizer, range(STEPS))


def test_data_for_a_criterion_may_be_a_batch_or_a_loader():
    masks = []
    loader = torch.utils.data.DataLoader(list(zip(*batch(0), strict=True)), 16)
    for data in (batch(0), list(batch(0)), loader, [batch(0), batch(1)], iter([batch(0)])):
        model = network()
        optimizer = optim.SGD(model.parameters(), 0.1)
        masks.append(Sparsifier(model, optimizer, method="snip", data=data).mask)
    assert all(mask == masks[0] for mask in masks)
    assert masks[0].kept == 9


def other_optimizer(model):
    return optim.SGD(network(1).parameters(), 0.1)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"sparsity": 1.0}, SparsityError, "sparsity 1.0 is not in"),
        ({"method": "magnitud"}, BogpError, "did you mean magnitude"),
        ({"method": 3}, SettingError, "method 3 is none"),
        ({"method": "dense"}, BogpError, "unknown method 'dense'"),
        ({"steps": None}, SettingError, r"give the steps .* len\(loader\) \* epochs"),
        ({"steps": 0}, SettingError, "steps = 0"),
        ({"layers": ["9.weight"]}, MaskError, "no parameter '9.weight'"),
        ({"granularity": "blocks"}, BogpError, "did you mean block"),
        ({"granularity": "channel"}, SettingError, "give data"),
        ({"granularity": "weight", "block": 4}, SettingError, "block = 4 is of blocks"),
        ({"method": "snip"}, SettingError, "give it inputs"),
        ({"method": "snip", "data": 3}, SettingError, "data of int"),
        ({"method": "snip", "data": {"inputs": torch.zeros(2, 6)}}, SettingError, "data of dict"),
        ({"method": "snip", "data": "mnist"}, SettingError, "data of str"),
        ({"method": "snip", "data": []}, SettingError, "data of 0 tensors"),
        ({"method": "snip", "data": (torch.zeros(2, 6),) * 3}, SettingError, "data of 3 tensors"),
        ({"support": 3}, MaskError, "support 3 is none"),
        ({"optimizer": other_optimizer}, SettingError, "does not move '0.weight'"),
    ],
)
def test_what_does_not_go_is_said_in_a_sentence(settings, error, text):
    model = network()
    make = settings.pop("optimizer", lambda model: optim.SGD(model.parameters(), 0.1))
    with pytest.raises(error, match=text):
        Sparsifier(model, make(model), **{"method": "gradual", "steps": STEPS, **settings})


def test_a_model_that_diverged_before_is_refused():
    model = network()
    model[0].weight.data[0, 0] = torch.nan
    with pytest.raises(MaskError, match=r"1 of the 60 weights of '0\.weight' is NaN"):
        Sparsifier(model, optim.SGD(model.parameters(), 0.1), method="magnitude")


def test_a_state_of_something_else_is_refused():
    _, _, sparsifier = started("gradual")
    with pytest.raises(MaskError, match="'weight' is none of a sparsifier"):
        sparsifier.load_state_dict({"weight": torch.ones(2)})
    _, _, other = started("gradual", layers=["0.weight"])
    with pytest.raises(MaskError, match="make it with the settings"):
        sparsifier.load_state_dict(other.state_dict())
