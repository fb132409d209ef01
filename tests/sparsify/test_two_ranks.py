"""Two processes that train together hold one mask, whatever data each of them has."""

import torch
from torch import distributed, nn, optim
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

import bogp

METHODS = {
    "gradual": bogp.Method("magnitude", "global", moves=bogp.Moves(every=3)),
    "rigl": bogp.Method(
        "random",
        "erk",
        moves=bogp.Moves(every=3, schedule="one_shot", regrow=0.4, grow="gradient"),
    ),
    "snip": bogp.Method("snip", "global"),  # scores the data that each process has for itself
}


def one_rank(rank, folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    file = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=file, rank=rank, world_size=2)
    found = {}
    for name, method in METHODS.items():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))
        model = DistributedDataParallel(network)
        optimizer = optim.Adam(model.parameters(), 0.01)
        generator = torch.Generator().manual_seed(rank)
        inputs, targets = torch.randn(16, 8, generator=generator), torch.arange(16) % 3
        sparsifier = bogp.Sparsifier(
            model,
            optimizer,
            sparsity=0.6,
            method=method,
            steps=12,
            data=(inputs, targets),
            seed=rank,
        )
        masks = [sparsifier.mask]
        for _ in range(12):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            masks.append(sparsifier.mask)
        masks.append(sparsifier.finish())
        weights = {key: value.clone() for key, value in network.state_dict().items()}
        found[name] = [dict(mask) for mask in masks], weights
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_ranks_hold_one_mask(tmp_path):
    spawn(one_rank, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for name in METHODS:
        (masks, weights), (others, same) = first[name], second[name]
        for mask, other in zip(masks, others, strict=True):
            assert bogp.Mask(mask) == bogp.Mask(other)
        assert bogp.Mask(masks[-1]).kept == round(0.4 * 132)
        for key, value in weights.items():
            assert torch.equal(value, same[key])
        for key, kept in masks[-1].items():
            assert torch.equal(weights[key] != 0, kept)
