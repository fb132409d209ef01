"""Populations where memory runs out, at whatever moment."""

from dataclasses import replace

import pytest
import torch

from bogp.errors import RecipeError
from bogp.masks import Mask
from bogp.sparsify import METHODS, make_mover
from bogp.training import Halving, Recipe, mlp, population, train_population
from bogp.training.memory import free_memory, host_memory, out_of_memory

COUNT = 7
STACKS = {"dense": population.TorchStack, "sparse": population.KernelStack}
SHORTAGES = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
)


def factory():
    return mlp([6, 5, 3])


def trained(arithmetic, **settings):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(90, 6, generator=generator, dtype=torch.float64)
    pair = (inputs, inputs[:, :3].argmax(1))
    masks = [
        Mask({"1.weight": torch.rand(5, 6, generator=generator) < 0.2 + 0.1 * k})
        for k in range(COUNT)
    ]
    for k, (method, every) in {2: ("gradual", 2), 3: ("rigl", 3)}.items():
        moves = replace(METHODS[method].moves, every=every)
        given = replace(METHODS[method], moves=moves)
        masks[k] = make_mover(factory(), given, 0.7, steps=12, seed=k)
    return train_population(
        factory,
        masks,
        pair,
        Recipe(optimizer="sgd", momentum=0.9, learning_rate=0.1, batch_size=32, epochs=4),
        range(COUNT),
        validation=pair,
        keep_weights=True,
        arithmetic=arithmetic,
        **settings,
    )


def assert_same(found, expected):
    for ours, theirs in zip(found.candidates, expected.candidates, strict=True):
        assert ours.accuracies == theirs.accuracies
        assert ours.ended == theirs.ended
        assert ours.mask == theirs.mask
        assert ours.losses == pytest.approx(theirs.losses, abs=1e-10)
        for name, value in theirs.weights.items():
            torch.testing.assert_close(ours.weights[name], value, rtol=0, atol=1e-10)


HALVING = Halving((1, 2), 0.6)


@pytest.mark.parametrize("arithmetic", STACKS)
@pytest.mark.parametrize("moment", ["advance", "evaluate", "select", "joined", "states", "finite"])
def test_a_shortage_at_any_moment_changes_nothing(arithmetic, moment, monkeypatch):
    expected = trained(arithmetic, halving=HALVING)
    kind = STACKS[arithmetic]
    done, calls = getattr(kind, moment), []

    def short(stack, *arguments):
        calls.append(len(stack))
        # Joining two is for larger ones; the rest fails every third time but for one alone.
        if moment == "joined" or (len(calls) % 3 == 0 and len(stack) > 1):
            raise SHORTAGES[len(calls) % len(SHORTAGES)]
        return done(stack, *arguments)

    monkeypatch.setattr(kind, moment, short)
    assert_same(trained(arithmetic, halving=HALVING, together=4), expected)
    assert calls


@pytest.mark.parametrize("arithmetic", STACKS)
def test_the_stacks_of_others_go_before_a_group_is_halved(arithmetic, monkeypatch):
    expected = trained(arithmetic, halving=HALVING)
    kind = STACKS[arithmetic]
    begin, advance, alive = kind.__init__, kind.advance, []

    class Token:
        pass

    import weakref

    def counted(stack, *arguments):
        begin(stack, *arguments)
        stack.token = Token()
        alive.append(weakref.ref(stack.token))

    def narrow(stack):
        """Hold three candidates in one stack, and no second stack beside it."""
        if sum(ref() is not None for ref in alive) > 1 or len(stack) > 3:
            raise MemoryError
        return advance(stack)

    monkeypatch.setattr(kind, "__init__", counted)
    monkeypatch.setattr(kind, "advance", narrow)
    found = trained(arithmetic, halving=HALVING, together=3)
    assert found.together == 3
    assert_same(found, expected)


@pytest.mark.parametrize("arithmetic", STACKS)
def test_what_is_trained_together_never_grows_again(arithmetic, monkeypatch):
    kind = STACKS[arithmetic]
    advance, calls = kind.advance, []

    def narrow(stack):
        calls.append(len(stack))
        if len(stack) > 1:
            raise MemoryError
        return advance(stack)

    monkeypatch.setattr(kind, "advance", narrow)
    found = trained(arithmetic, together=4)
    assert calls[:4] == [4, 2, 1, 1]
    assert set(calls[2:]) == {1}
    assert found.together == 1


@pytest.mark.parametrize("arithmetic", STACKS)
def test_one_that_does_not_fit_alone_is_a_sentence(arithmetic, monkeypatch):
    def never(stack):
        raise MemoryError

    monkeypatch.setattr(STACKS[arithmetic], "advance", never)
    with pytest.raises(RecipeError, match="lower batch_size from 32"):
        trained(arithmetic, halving=HALVING)


def test_errors_of_memory_are_known():
    assert all(out_of_memory(error) for error in SHORTAGES)
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))


def written(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return host_memory(root)


MEMINFO = "MemTotal: 16000 kB\nMemFree: 1000 kB\nMemAvailable:    9000 kB\n"


def test_memory_that_the_system_can_give_up_is_free(tmp_path):
    assert written(tmp_path, {"proc/meminfo": MEMINFO}) == 9000 * 1024


def test_the_control_group_binds_where_it_is_smaller(tmp_path):
    second = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/outer/inner/memory.max": "max\n",
        "sys/fs/cgroup/outer/inner/memory.current": "5\n",
        "sys/fs/cgroup/outer/memory.max": "5000000\n",
        "sys/fs/cgroup/outer/memory.current": "3000000\n",
        "sys/fs/cgroup/outer/memory.stat": "anon 7\ninactive_file 500000\n",
    }
    assert written(tmp_path / "two", second) == 2_500_000
    first = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "4000000\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": "1000000\n",
        "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 100\n",
    }
    assert written(tmp_path / "one", first) == 3_000_100
    first["sys/fs/cgroup/memory/job/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert written(tmp_path / "none", first) == 9000 * 1024


def test_this_machine_has_memory():
    assert 1e6 < free_memory(torch.device("cpu")) < 1e15
    assert free_memory(torch.device("meta")) == 4e9
