"""What is no database, no data, no model and no support is refused in one sentence."""

import pytest

import bogp
from bogp.errors import BogpError

SETTINGS = bogp.SearchSettings(sparsity=0.9)
NETWORK = bogp.mlp([8, 16, 2])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: bogp.search(None, "digits", SETTINGS), "database None is none: give"),
        (lambda: bogp.screen(7, "digits", bogp.ScreenSettings(sparsity=0.9)), "database 7 is none"),
        (lambda: bogp.load_dataset((1, 2)), "data (1, 2) are none: give"),
        (lambda: bogp.mask(3), "model 3 is none: give"),
        (lambda: bogp.mask(NETWORK, support=3), "support 3 is none: give"),
        (lambda: bogp.mask(NETWORK, sparsity="a"), "sparsity 'a' and seed 0: give"),
        (lambda: bogp.prune(3, "digits"), "give a torch.nn.Module"),
    ],
)
def test_what_is_of_no_use_is_refused_in_one_sentence(call, said):
    with pytest.raises(BogpError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
