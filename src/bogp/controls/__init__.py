"""Controls: the winner with one thing taken away, and the check that it really is.

Each control keeps some of what could explain a winner and destroys the rest. One that trains as
well as the winner shows that what it destroys did not matter. The functions here are pure, on
masks, graphs and scores; training what they return is the caller's.
"""

from bogp.controls.changes import (
    Change,
    check_change,
    differing_share,
    measure_change,
    why_not,
)
from bogp.controls.draws import (
    erk_random,
    invert,
    random_like,
    rewire,
    shuffle_layers,
    why_not_rewire,
)
from bogp.controls.names import CONTROLS

__all__ = [
    "CONTROLS",
    "Change",
    "check_change",
    "differing_share",
    "erk_random",
    "invert",
    "measure_change",
    "random_like",
    "rewire",
    "shuffle_layers",
    "why_not",
    "why_not_rewire",
]
