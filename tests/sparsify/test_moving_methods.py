"""Each method that moves does what its paper says, on networks worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import bogp
from bogp.sparsify import METHODS, make_mover


def layer(rows):
    """A linear layer of these weights."""
    weights = torch.tensor(rows)
    made = nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    made.weight.data.copy_(weights)
    return made


def moved(method, rows, kept, *, gradients=None, step=None, sparsity=0.5, steps=100, seed=0):
    """The mask of one layer after one update."""
    model = layer(rows)
    mover = make_mover(model, method, sparsity, steps=steps, seed=seed)
    step = min(s for s in mover.plan if s > 0) if step is None else step
    mask = bogp.Mask({"weight": torch.tensor(kept).bool()})
    mask.apply(model)
    given = None if gradients is None else {"weight": torch.tensor(gradients)}
    return mover.moved(step, model, mask, given)["weight"].int().tolist()


def test_gradual_counts_are_those_of_equation_1_of_zhu_and_gupta():
    """s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3 with s_i = 0, t_0 = 10, dt = 5, n = 8."""
    support = bogp.Mask({"w": torch.ones(100, 100).bool()})
    moves = bogp.Moves(begin=10, end=50, every=5)
    plan = bogp.sparsify.make_plan(bogp.Method("magnitude", moves=moves), support, 0.9, 100)
    expected = {
        t: round(10_000 * (1 - (0.9 + (0.0 - 0.9) * (1 - (t - 10) / (8 * 5)) ** 3)))
        for t in range(15, 51, 5)
    }
    assert {step: update.kept for step, update in plan.items()} == expected
    assert expected[15] == 7029
    assert expected[30] == 2125
    assert expected[50] == 1000


def test_gradual_removes_the_smallest_weights_of_all_layers():
    model = nn.Sequential(layer([[0.1, -0.9], [0.8, 0.2]]), layer([[-0.3, 0.7], [0.05, -0.6]]))
    moves = bogp.Moves(begin=0, end=10, every=5, schedule="linear")
    method = bogp.Method("magnitude", "global", moves=moves)
    mover = make_mover(model, method, 0.75, steps=20)
    mask = mover.moved(5, model, mover.support)
    assert {name: kept.int().tolist() for name, kept in mask.items()} == {
        "0.weight": [[0, 1], [1, 0]],
        "1.weight": [[1, 1], [0, 1]],
    }
    mask = mover.moved(10, model, mask)
    assert {name: kept.int().tolist() for name, kept in mask.items()} == {
        "0.weight": [[0, 1], [1, 0]],
        "1.weight": [[0, 0], [0, 0]],
    }


ONE = bogp.Moves(end=0.75, every=10, schedule="one_shot", regrow=0.5, decay="constant")


def test_set_drops_the_smallest_positive_and_the_largest_negative_weights():
    """Mocanu et al. 2018, algorithm 1: the share zeta of each sign, whatever its scale.

    By magnitude alone the four weights of -0.1 to -0.4 would go, and no positive one.
    """
    weights = [[5.0, 6.0, 7.0, 8.0], [-0.1, -0.2, -0.3, -0.4], [0.0, 0.0, 0.0, 0.0]]
    kept = [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    method = bogp.Method("random", moves=replace(ONE, drop="signed_magnitude"))
    stay = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    grown = set()
    for seed in range(40):
        found = moved(method, weights, kept, seed=seed, sparsity=1 / 3)
        assert sum(map(sum, found)) == 8
        assert all(
            f >= s for rows in zip(found, stay, strict=True) for f, s in zip(*rows, strict=False)
        )
        grown |= {(i, j) for i in range(3) for j in range(4) if found[i][j] > stay[i][j]}
    assert grown == {(i, j) for i in range(3) for j in range(4) if not stay[i][j]}


def test_set_and_rigl_keep_the_number_of_each_layer_at_erdos_renyi_densities():
    """Their density is eps (in + out) / (in out): 300-100 has 400 parts of 510, 100-10 110."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 100), nn.Linear(100, 10))
    for name in ("set", "rigl"):
        mover = make_mover(model, name, 0.9, steps=500)
        mask, kept = mover.support, round(0.1 * 31_000)
        gradients = {n: torch.randn_like(p) for n, p in model.named_parameters()}
        counts = set()
        for step in sorted(mover.plan):
            mask = mover.moved(step, model, mask, gradients)
            counts.add(tuple(int(layer.sum()) for layer in mask.values()))
        # The last layer has no room for more than its 1000 weights.
        share = round(kept * 400 / 510)
        assert counts == {(share, kept - share)}
        assert len(mover.plan) > 3


def test_rigl_drops_the_smallest_weights_and_grows_the_largest_gradients():
    """Evci et al. 2020, section 3: of 6 kept weights 2 go, the two largest gradients come."""
    weights = [[0.5, -0.1, 2.0], [1.0, -3.0, 0.2], [0.0, 0.0, 0.0]]
    kept = [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    gradients = [[9.0, 0.1, 9.0], [9.0, 9.0, -0.3], [0.2, -0.9, 0.05]]
    moves = replace(ONE, regrow=1 / 3, grow="gradient")
    method = bogp.Method("random", moves=moves)
    # -0.1 and 0.2 go; of what is not kept then, the gradients -0.9 and -0.3 are the largest, the
    # second of a weight that has just been dropped: it stays.
    expected = [[1, 0, 1], [1, 1, 1], [0, 1, 0]]
    assert moved(method, weights, kept, gradients=gradients, sparsity=1 / 3) == expected


def test_rigl_regrows_a_share_that_falls_along_half_a_cosine():
    """f_decay(t; alpha, T_end) = alpha / 2 (1 + cos(t pi / T_end))."""
    support = bogp.Mask({"w": torch.ones(100, 100).bool()})
    method = replace(METHODS["rigl"], moves=replace(METHODS["rigl"].moves, every=100, end=600))
    plan = bogp.sparsify.make_plan(method, support, 0.9, 1000)
    assert list(plan) == [0, 100, 200, 300, 400, 500, 600]
    assert {update.kept for update in plan.values()} == {1000}
    assert plan[0].regrow == 0.0
    for step in range(100, 601, 100):
        share = 0.3 / 2 * (1 + math.cos(step * math.pi / 600))
        assert plan[step].regrow == pytest.approx(share, abs=1e-12)
    assert plan[300].regrow == pytest.approx(0.15)
    assert plan[600].regrow == 0.0


def test_rigl_grows_by_the_gradient_of_the_step_through_the_optimiser():
    """The whole way: torch's gradient of a weight that is pruned decides, and no weight's does."""
    model = layer([[1.0, 2.0, 0.0, 0.0]])
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    moves = bogp.Moves(end=1, every=1, schedule="one_shot", regrow=0.5, decay="constant")
    method = bogp.Method("magnitude", moves=replace(moves, grow="gradient"))
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.5, method=method, steps=2)
    assert sparsifier.mask["weight"].tolist() == [[True, True, False, False]]
    model(torch.tensor([[0.1, 0.1, -1.0, 5.0]])).sum().backward()
    optimizer.step()
    assert sparsifier.mask["weight"].tolist() == [[False, True, False, True]]
    assert model.weight[0, 3] == 0.0
    assert model.weight[0, 1] != 0.0


def test_lottery_ticket_rounds_rewind_to_the_first_weights_and_forget():
    """Frankle & Carbin 2019: train, prune a share of what is left by magnitude, rewind, repeat.

    The reference does so by hand, each round with a new optimiser.
    """

    def trained(model, optimizer, mask, steps, first):
        for step in range(first, first + steps):
            inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            if mask is not None:
                for name, kept in mask.items():
                    model.get_parameter(name).grad *= kept
            optimizer.step()

    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 2))

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    method = bogp.Method("magnitude", "global", rounds=2, rewind=True, pretrain=True)
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.75, method=method, steps=30)
    trained(model, optimizer, None, 30, 0)
    found = sparsifier.finish()

    reference, mask = network(), None
    for number, kept in enumerate((40, 20, None)):
        optimizer = torch.optim.Adam(reference.parameters(), 0.01)
        trained(reference, optimizer, mask, 10, 10 * number)
        if kept is None:
            break
        names = ("0.weight", "3.weight")
        scores = {name: reference.get_parameter(name).detach().abs() for name in names}
        mask = bogp.select(scores, kept, support=mask)
        reference = network()
        mask.apply(reference)
    assert found == mask
    for name, value in model.state_dict().items():
        assert torch.equal(value, reference.state_dict()[name]), name


def test_iterative_rounds_train_on_from_the_weights_at_hand():
    model = layer([[0.1, 0.2, 0.3, 0.4]])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    method = bogp.Method("magnitude", schedule="linear", rounds=2, pretrain=True)
    sparsifier = bogp.Sparsifier(model, optimizer, sparsity=0.5, method=method, steps=3)
    seen = []
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        seen.append([round(w, 1) for w in model.weight[0].tolist()])
    # Each step takes 0.1 from what is kept: 0.1 becomes 0 and goes, then the smallest.
    assert seen == [[0.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.1, 0.2], [0.0, 0.0, 0.0, 0.1]]
    assert sparsifier.finish()["weight"].tolist() == [[False, False, True, True]]
