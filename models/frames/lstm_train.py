"""Fitting the LSTM of `models.frames.lstm`; the only place here that needs torch.

Loss and defaults follow Ringel, Cohen, Freedman, Elad and Romano, "Early Time Classification with
Accumulated Accuracy Gap Control" (ICML 2024): cross-entropy averaged over all steps of all
streams, plus 0.2 times the binary cross-entropy of the correctness head against whether the class
head's answer is right at that step, with its gradient into the trunk too.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from models.contributions import units
from models.errors import TrainingError
from models.frames.lstm import LstmClassifier
from models.frames.lstm_weights import LstmDescription, LstmWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from models.frames.options import LstmOptions
    from models.protocol import LabelledFrames

LEAST_SCALE = 1e-6
THREADS = 1
"""One was as fast as two at this size, and the result then does not depend on the machine's."""


class Network(nn.Module):
    """The trunk and both heads, as torch trains them."""

    def __init__(self, width: int, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.trunk = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, n_classes + 1)

    def forward(self, standard: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits [n, T, C] and correctness logits [n, T]."""
        outputs = self.head(self.trunk(standard)[0])
        return outputs[..., :-1], outputs[..., -1]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the data as tensors."""

    standard: Tensor
    """[n, T, d], standardised; 0 past a stream's end."""
    inside: Tensor
    """bool [n, T]: step inside the stream."""
    labels: Tensor
    """[n]."""

    def rows(self, rows: Tensor) -> Part:
        """Return the streams at positions `rows`."""
        return Part(self.standard[rows], self.inside[rows], self.labels[rows])


def train(
    fit: LabelledFrames,
    tuning: LabelledFrames,
    options: LstmOptions,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> LstmClassifier:
    """Fit on `fit`; keep the weights of the epoch with the least loss on `tuning`.

    The same arguments give the same weights, to the last bit on one machine. Raises
    TrainingError if there is nothing to learn from or the loss ceases to be finite.
    """
    _check(fit, tuning)
    frames, inside = _cut(fit, horizon)
    steps = frames[inside].astype(np.float64)
    mean = steps.mean(axis=0).astype(np.float32)
    scale = np.maximum(steps.std(axis=0), LEAST_SCALE).astype(np.float32)
    parts = [_part(part, mean, scale, horizon) for part in (fit, tuning)]
    with _torch_of_our_own(options.seed):
        network = Network(len(fit.channels), options.hidden, len(fit.classes))
        _fit(network, parts[0], parts[1], options, advance)
    description = LstmDescription(
        classes=fit.classes, channels=fit.channels, hidden=options.hidden, horizon=horizon
    )
    return LstmClassifier(description, _weights(network, mean, scale, _prior(fit)))


def loss(network: Network, part: Part, correctness_weight: float) -> Tensor:
    """Return the training loss over every step inside its stream."""
    logits, sure = network(part.standard)
    truth = part.labels[:, None].expand(part.inside.shape)[part.inside]
    logits, sure = logits[part.inside], sure[part.inside]
    right = (logits.argmax(dim=-1) == truth).to(sure.dtype)
    answer = nn.functional.cross_entropy(logits, truth)
    return answer + correctness_weight * nn.functional.binary_cross_entropy_with_logits(
        sure, right
    )


def _fit(
    network: Network,
    fit: Part,
    tuning: Part,
    options: LstmOptions,
    advance: Callable[[int], None] | None,
) -> None:
    """Train `network` in place, and leave it with the weights of its best epoch."""
    optimiser = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    best, best_loss, worse = copy.deepcopy(network.state_dict()), np.inf, 0
    for epoch in range(options.epochs):
        for rows in torch.randperm(len(fit.labels)).split(options.batch):  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.zero_grad(set_to_none=True)
            loss(network, fit.rows(rows), options.correctness_weight).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimiser.step()
        with torch.no_grad():
            tuning_loss = float(loss(network, tuning, options.correctness_weight))
        if not np.isfinite(tuning_loss):
            message = (
                f"the loss is {tuning_loss} after epoch {epoch + 1}. Lower `learning_rate`, and "
                "look for absurd values in the data."
            )
            raise TrainingError(message)
        if advance is not None:
            advance(1)
        worse += 1
        if tuning_loss < best_loss:
            best, best_loss, worse = copy.deepcopy(network.state_dict()), tuning_loss, 0
        if worse >= options.patience:
            break
    network.load_state_dict(best)


@contextmanager
def _torch_of_our_own(seed: int) -> Iterator[None]:
    """Seed torch and set its threads for the block; leave both as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _check(fit: LabelledFrames, tuning: LabelledFrames) -> None:
    for part, name in ((fit, "fitting"), (tuning, "tuning")):
        if not len(part.labels):
            message = f"the {name} part has no streams. Use a larger data set."
            raise TrainingError(message)
    if len(fit.classes) < 2:
        message = f"the data has {len(fit.classes)} class; a classifier needs at least two."
        raise TrainingError(message)


def _cut(part: LabelledFrames, horizon: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the frames up to the horizon, and which of them lie inside their stream."""
    frames = part.frames[:, :horizon]
    inside = np.arange(frames.shape[1]) < part.lengths[:, np.newaxis]
    return frames, inside


def _part(
    part: LabelledFrames, mean: NDArray[np.float32], scale: NDArray[np.float32], horizon: int
) -> Part:
    frames, inside = _cut(part, horizon)
    standard = np.where(inside[..., np.newaxis], (frames - mean) / scale, np.float32(0.0))
    return Part(
        torch.from_numpy(standard),
        torch.from_numpy(inside),
        torch.from_numpy(part.labels.astype(np.int64)),
    )


def _prior(fit: LabelledFrames) -> NDArray[np.int16]:
    """Return the log-odds of each class, every class having been seen once more than it was."""
    counts = np.bincount(fit.labels, minlength=len(fit.classes)) + 1.0
    return units(np.log(counts) - np.log(counts.sum() - counts))


def _weights(
    network: Network,
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    prior: NDArray[np.int16],
) -> LstmWeights:
    fitted = {name: value.numpy() for name, value in network.state_dict().items()}
    recurrent = np.concatenate(
        (fitted["trunk.weight_ih_l0"].T, fitted["trunk.weight_hh_l0"].T), axis=0
    )
    return LstmWeights(
        input_mean=mean,
        input_scale=scale,
        recurrent=np.ascontiguousarray(recurrent),
        recurrent_bias=fitted["trunk.bias_ih_l0"] + fitted["trunk.bias_hh_l0"],
        head=np.ascontiguousarray(fitted["head.weight"].T),
        head_bias=fitted["head.bias"].copy(),
        prior=prior,
    )
