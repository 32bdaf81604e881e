"""Fitting the LSTM of `models.frames.lstm`; only this and `lessons` need torch here.

Loss and defaults follow Ringel, Cohen, Freedman, Elad and Romano, "Early Time Classification with
Accumulated Accuracy Gap Control" (ICML 2024): cross-entropy averaged over all steps of all
streams, plus 0.2 times the binary cross-entropy of the correctness head against whether the class
head's answer is right at that step, with its gradient into the trunk too.
"""

from __future__ import annotations

import copy
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from models.contributions import units
from models.errors import TrainingError
from models.frames.lessons import check, features, lessons
from models.frames.lstm import LstmClassifier
from models.frames.lstm_weights import LstmDescription, LstmWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from models.frames.lessons import Part
    from models.frames.options import LstmOptions
    from models.protocol import LabelledStreams

RISING_SHARE = 0.1
LEAST_RATE = 1e-3
"""Of the learning rate: where a one-cycle schedule begins and ends."""
THREADS = 1
"""One was as fast as two at this size, and the result then does not depend on the machine's."""


class Network(nn.Module):
    """The trunk and both heads, as torch trains them."""

    def __init__(self, width: int, hidden: int, n_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, n_classes + 1)
        self.dropped: nn.Module = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, standard: Tensor) -> tuple[Tensor, Tensor]:
        """Return class logits [n, T, C] and correctness logits [n, T]."""
        outputs = self.head(self.dropped(self.trunk(standard)[0]))
        return outputs[..., :-1], outputs[..., -1]


def train(
    fit: LabelledStreams,
    tuning: LabelledStreams,
    options: LstmOptions,
    *,
    horizon: int,
    advance: Callable[[int], None] | None = None,
) -> LstmClassifier:
    """Fit on `fit`; keep the weights of the epoch with the least loss on `tuning`.

    The same arguments give the same weights, to the last bit on one machine. Raises
    TrainingError if there is nothing to learn from or the loss ceases to be finite.
    """
    check(fit, tuning, options)
    description = LstmDescription(
        classes=fit.classes, channels=fit.channels, hidden=options.hidden, horizon=horizon,
        frontend=options.frontend,
    )  # fmt: skip
    mean, scale = features(fit, options, horizon).scaling()
    lesson = lessons(fit, options, horizon, mean, scale)
    judged = features(tuning, options, horizon).side_by_side(mean, scale)
    with _torch_of_our_own(options.seed):
        network = Network(description.width, options.hidden, len(fit.classes), options.dropout)
        _fit(network, lesson, judged, options, advance)
    return LstmClassifier(description, _weights(network, mean, scale, _prior(fit)))


def loss(
    network: Network, part: Part, correctness_weight: float, smoothing: float = 0.0
) -> Tensor:
    """Return the training loss over every step inside its stream."""
    logits, sure = network(part.standard)
    truth = part.labels[:, None].expand(part.inside.shape)[part.inside]
    logits, sure = logits[part.inside], sure[part.inside]
    right = (logits.argmax(dim=-1) == truth).to(sure.dtype)
    answer = nn.functional.cross_entropy(logits, truth, label_smoothing=smoothing)
    return answer + correctness_weight * nn.functional.binary_cross_entropy_with_logits(
        sure, right
    )


def _fit(
    network: Network,
    lesson: Callable[[], Part],
    tuning: Part,
    options: LstmOptions,
    advance: Callable[[int], None] | None,
) -> None:
    """Train `network` in place, and leave it with the weights of its best epoch."""
    best, best_loss, worse = copy.deepcopy(network.state_dict()), np.inf, 0
    learn = _learner(network, options)
    for epoch in range(options.epochs):
        learn(lesson())
        network.eval()
        with torch.no_grad():
            tuning_loss = float(loss(network, tuning, options.correctness_weight))
        network.train()
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


def _learner(network: Network, options: LstmOptions) -> Callable[[Part], None]:
    """Return what takes the network through one epoch on a part; it counts the epochs."""
    parameters = list(network.parameters())
    optimiser = torch.optim.AdamW(
        parameters, lr=options.learning_rate, weight_decay=options.weight_decay
    )
    rate = _rate(options)
    epochs = iter(range(options.epochs))

    def learn(part: Part) -> None:
        epoch = next(epochs)
        batches = torch.randperm(len(part.labels)).split(options.batch)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for place, rows in enumerate(batches):
            for group in optimiser.param_groups:
                group["lr"] = rate((epoch + place / len(batches)) / options.epochs)
            optimiser.zero_grad(set_to_none=True)
            loss(
                network, part.rows(rows), options.correctness_weight, options.smoothing
            ).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            if options.clip:
                nn.utils.clip_grad_norm_(parameters, options.clip)
            optimiser.step()

    return learn


def _rate(options: LstmOptions) -> Callable[[float], float]:
    """Return the learning rate as a function of the share of training that is over."""
    most = options.learning_rate
    if options.schedule == "constant":
        return lambda _done: most

    def rate(done: float) -> float:
        if done < RISING_SHARE:
            return most * max(done / RISING_SHARE, LEAST_RATE)
        falling = (done - RISING_SHARE) / (1 - RISING_SHARE)
        return most * max(0.5 + 0.5 * math.cos(math.pi * falling), LEAST_RATE)

    return rate


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


def _prior(fit: LabelledStreams) -> NDArray[np.int16]:
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
