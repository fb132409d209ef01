"""What pruning a model of one's own gives back: the model, its mask, its evidence, its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from bogp.analysis import Interval
from bogp.data import Dataset
from bogp.keys import content_key
from bogp.masks import Mask, collapsed, save_model
from bogp.pipeline import SearchResult
from bogp.pipeline.own_model import PrunedNetwork
from bogp.report import Table
from bogp.report.prune_page import how, pruned_tables, write_prune_report
from bogp.training import Structure, structure


@dataclass(frozen=True)
class PruneResult:
    """A model pruned, trained and weighed: what :func:`bogp.prune` returns.

    Attributes:
        model: a plain ``nn.Module``, trained, pruned weights exactly zero, on the CPU, in
            evaluation mode: the network of the first fresh seed.
        found: all that was measured (:class:`bogp.pipeline.own_model.PrunedNetwork`).
        dataset: what trained, selected and reported.
        given: accuracy of the model as it was given, on the test set; None of a function, whose
            models are untrained.
    """

    model: nn.Module
    found: PrunedNetwork = field(repr=False)
    dataset: Dataset = field(repr=False)
    given: float | None = None

    @property
    def mask(self) -> Mask:
        """The mask: parameter name → bool tensor, True keeps."""
        return self.found.mask

    @property
    def pruned(self) -> Interval:
        """Test accuracy of the pruned network over the fresh seeds."""
        return self.found.pruned

    @property
    def dense(self) -> Interval:
        """Test accuracy of the dense network, trained by the same recipe on the same seeds."""
        return self.found.dense

    @property
    def lead(self) -> Interval:
        """Accuracy of the pruned network less that of the dense one, paired by seed."""
        return self.found.lead

    @property
    def search(self) -> SearchResult | None:
        """The search that chose the mask; None where a method did."""
        return self.found.search

    @property
    def collapsed(self) -> tuple[str, ...]:
        """The layers of which no weight is kept."""
        return collapsed(self.mask)

    @cached_property
    def structure(self) -> Structure:
        """What the mask makes of the network: effective sparsity, compression, arithmetic."""
        return structure(self.model, self.mask, self.dataset.train_inputs[:1])

    @property
    def key(self) -> str:
        """The hash of every setting that can change the result."""
        return content_key(self.found.fields)

    def summary(self) -> list[Table]:
        """Return the result in a few tables, the answer first."""
        return pruned_tables(self.found, self.dataset, self.structure, self.given)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write all of it as one HTML file that opens offline, and return its path.

        Raises:
            OutputError: the file cannot be written.
        """
        return write_prune_report(
            path, self.found, self.dataset, self.structure, self.given, self.model
        )

    def save(self, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
        """Write the model with its mask as a safetensors file (:func:`bogp.save_model`).

        Its metadata hold, beside ``metadata``, the settings, their key and the accuracies.

        Raises:
            OutputError: the file cannot be written.
        """
        notes = {
            "settings": json.dumps(self.found.fields, sort_keys=True),
            "settings_key": self.key,
            "test_accuracy": json.dumps(self.record()["pruned"]),
            "dense_test_accuracy": json.dumps(self.record()["dense"]),
        }
        return save_model(self.model, self.mask, path, {**notes, **dict(metadata or {})})

    def record(self) -> dict[str, Any]:
        """Return the numbers as a JSON object."""
        found = self.found
        return {
            "key": self.key,
            "sparsity": self.mask.sparsity,
            "kept": self.mask.kept,
            "weights": self.mask.total,
            "how": how(found),
            "pruned": vars(found.pruned),
            "dense": vars(found.dense),
            "lead": vars(found.lead),
            "validation": vars(found.fresh),
            "given": self.given,
            "comparisons": {
                entry.name: {"accuracy": vars(entry.accuracy), "lead": vars(entry.lead)}
                for entry in found.comparisons
            },
            "narrower": {name: vars(one) for name, one in found.narrower.items()},
            "left out": dict(found.left_out),
            "collapsed": list(self.collapsed),
            "structure": vars(self.structure),
            "layers": {
                name: {
                    "shape": list(layer.shape),
                    "kept": int(layer.sum()),
                    "density": float(layer.double().mean()),
                }
                for name, layer in self.mask.items()
            },
            "epochs": dict(found.epochs),
            "settings": dict(found.fields),
        }
