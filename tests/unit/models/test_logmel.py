from __future__ import annotations

import numpy as np
import pytest

from models.frames.logmel import LogMel, fault, mel_bank
from models.frames.options import LogMelOptions

OPTIONS = LogMelOptions(sample_rate=8000, window=200, bands=32)
FRAME = 80


def tone(hz, seconds=0.5, size=8000.0):
    return (size * np.sin(2 * np.pi * hz * np.arange(int(8000 * seconds)) / 8000)).astype("f4")


def noise(n_frames, seed=0, size=3000):
    drawn = np.random.default_rng(seed).normal(0, size, n_frames * FRAME)
    return np.rint(drawn).astype(np.float32)


def streamed(frontend, signal):
    """Return the features of all frames, one after another, from the memory of each step."""
    memory = np.zeros((1, frontend.fields()["samples"].shape[0]), np.float32)
    found = []
    for frame in signal.reshape(-1, 1, frontend.frame):
        windows = frontend.windows(memory, frame)
        memory = frontend.remembered(windows)
        found.append(frontend.features(windows)[0])
    return np.stack(found)


@pytest.mark.parametrize(
    ("options", "frame"),
    [
        (OPTIONS, 80),
        (LogMelOptions(window=160, bands=20), 160),
        (LogMelOptions(window=256, bands=40), 33),
        (LogMelOptions(sample_rate=16000, window=400, bands=40), 160),
    ],
)
def test_frame_by_frame_gives_what_the_whole_signal_gives(options, frame):
    frontend = LogMel(options, frame)
    signal = noise(40)[: 3200 // frame * frame]
    np.testing.assert_allclose(
        streamed(frontend, signal), frontend.whole(signal), rtol=0, atol=1e-6
    )


def test_the_features_are_those_of_a_slow_computation_by_the_definition():
    frontend = LogMel(OPTIONS, FRAME)
    signal = noise(5)
    padded = np.concatenate((np.zeros(120), signal.astype(np.float64)))
    bank = mel_bank(OPTIONS)
    for t, got in enumerate(frontend.whole(signal)):
        window = padded[t * FRAME : t * FRAME + 200]
        k = np.arange(200)
        tapered = window * np.sin(np.pi * (k + 0.5) / 200) ** 2
        lines = np.arange(129)[:, np.newaxis]
        spectrum = (tapered * np.exp(-2j * np.pi * lines * k / 256)).sum(axis=1)
        wanted = np.log((np.abs(spectrum) ** 2) @ bank + OPTIONS.floor)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)


def test_a_tone_is_loudest_in_the_band_it_lies_in():
    frontend = LogMel(OPTIONS, FRAME)
    edges = 700 * (10 ** (np.linspace(150.49, 2146.06, 34) / 2595) - 1)
    for hz in (300, 1000, 2500):
        band = int(frontend.whole(tone(hz))[10].argmax())
        assert edges[band] < hz < edges[band + 2]


def test_the_bands_are_triangles_that_share_their_edges():
    bank = mel_bank(OPTIONS)
    assert bank.shape == (129, 32)
    assert (bank >= 0).all()
    assert (bank.max(axis=0) > 0.2).all()
    # Between the first peak and the last one, what one band lets go its neighbour takes.
    inner = bank[bank.argmax(axis=0)[0] + 1 : bank.argmax(axis=0)[-1]]
    np.testing.assert_allclose(inner.sum(axis=1), 1, atol=1e-9)


def test_silence_gives_the_floor_and_twice_the_size_four_times_the_energy():
    frontend = LogMel(OPTIONS, FRAME)
    floor = np.float32(np.log(OPTIONS.floor))
    assert (frontend.whole(np.zeros(800, np.float32)) == floor).all()
    once, twice = (frontend.whole(noise(10) * np.float32(k))[5:] for k in (1, 2))
    np.testing.assert_allclose(twice - once, np.log(4), atol=0.05)


def test_a_row_does_not_depend_on_its_batch_nor_on_its_place():
    frontend = LogMel(OPTIONS, FRAME)
    windows = np.random.default_rng(0).normal(0, 3000, (512, 200)).astype(np.float32)
    spectra = np.fft.rfft(windows * np.ones(200), 256)
    alone = frontend.features(windows, row_by_row=True)
    random = np.random.default_rng(1)
    for _ in range(30):
        rows = random.permutation(512)[: random.integers(1, 513)]
        assert np.array_equal(np.fft.rfft(windows[rows] * np.ones(200), 256), spectra[rows])
        assert np.array_equal(frontend.features(windows[rows], row_by_row=True), alone[rows])
    np.testing.assert_allclose(frontend.features(windows), alone, atol=1e-6)


def test_the_samples_before_a_frame_are_copied_not_pointed_at():
    frontend = LogMel(OPTIONS, FRAME)
    windows = frontend.windows(np.zeros((2, 120), np.float32), np.ones((2, 80), np.float32))
    memory = frontend.remembered(windows)
    windows.fill(9)
    assert memory.sum() == 2 * 80


def test_what_is_kept_of_a_frame_is_its_time_and_its_energy():
    frontend = LogMel(OPTIONS, FRAME)
    full = np.full((1, 80), 32768, np.float32)
    frames = np.concatenate((full, full / 10, np.zeros((1, 80), np.float32)))
    noted = frontend.noted(np.array([1, 2, 30], np.int32), frames)
    assert noted.dtype == np.float32
    assert noted.tolist() == [[10, 0], [20, -20], [300, -100]]
    assert frontend.evidence == ("time_ms", "energy_db")


@pytest.mark.parametrize(
    ("options", "frame", "advice"),
    [
        (LogMelOptions(window=100), 160, "Raise|raise `window`"),
        (LogMelOptions(bands=120), 80, "fewer `bands`"),
        (LogMelOptions(sample_rate=1000, window=64, lowest_hz=700.0), 10, "fewer `bands`"),
    ],
)
def test_options_that_make_no_front_end_are_found_with_advice(options, frame, advice):
    found = fault(options, frame)
    assert found is not None
    assert any(part in found for part in advice.split("|"))
    assert fault(OPTIONS, FRAME) is None
