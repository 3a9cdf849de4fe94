"""Writes the golden files beside it: expected values by the plainest code, in float64.

    python tests/golden/make.py

Nothing here imports voxelzoo. The definitions are those of Antonello, Vaidya and Huth (2023) and of
Lanczos resampling; each is a loop over its definition.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATE = 16_000
WINDOW, STRIDE = 0.4, 0.1


def sawtooth_starts(n: int, size: int, restart: int) -> Ints:
    """First item of each item's context: all items up to ``size`` of them.

    Later ones start at a multiple of ``size - restart``: the last that leaves ``restart`` items.
    """
    starts = []
    for n_items in range(1, n + 1):
        start = 0
        while n_items > size and n_items - (start + size - restart) >= restart:
            start += size - restart
        starts.append(start)
    return np.array(starts)


def sliding_starts(n: int, size: int) -> Ints:
    """First item of each item's context: the last ``size`` items."""
    return np.array([max(0, i + 1 - size) for i in range(n)])


def lanczos(times: Floats, scan_times: Floats, lobes: int) -> Floats:
    """Weights (TR, time): sinc(f d) sinc(f d / lobes), with f = 1 / TR and d a distance in s."""
    frequency = 1 / (scan_times[1] - scan_times[0])
    weights = np.zeros((len(scan_times), len(times)))
    for i, scan in enumerate(scan_times):
        for j, time in enumerate(times):
            x = (scan - time) * frequency
            if x == 0:
                weights[i, j] = 1
            elif abs(x) < lobes:
                a, b = math.pi * x, math.pi * x / lobes
                weights[i, j] = math.sin(a) / a * math.sin(b) / b
    return weights


def fir(values: Floats, delays: list[int]) -> Floats:
    """Design (TR, delay * unit): row t has the values of row t - delay, zero before the story."""
    n, units = values.shape
    design = np.zeros((n, len(delays) * units))
    for t in range(n):
        for i, delay in enumerate(delays):
            if 0 <= t - delay < n:
                design[t, i * units : (i + 1) * units] = values[t - delay]
    return design


SPEECH = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "conv_dim": [4] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}


def speech_states(network: torch.nn.Module, sound: Floats) -> Floats:
    """(layer, window, unit): the last frame of each normalised window, a window at a time."""
    states = []
    for stop in range(round(STRIDE * RATE), len(sound) + 1, round(STRIDE * RATE)):
        window = sound[max(0, stop - round(WINDOW * RATE)) : stop]
        window = (window - window.mean()) / math.sqrt(window.var() + 1e-7)
        with torch.no_grad():
            output = network(torch.from_numpy(window)[None], output_hidden_states=True)
        states.append(np.stack([state[0, -1].numpy() for state in output.hidden_states]))
    return np.stack(states, axis=1)


def main() -> None:
    """Writes ``contexts.npz``, ``alignment.npz`` and ``speech.npz``."""
    np.savez_compressed(
        HERE / "contexts.npz",
        sawtooth_512_256=sawtooth_starts(1500, 512, 256),
        sawtooth_12_5=sawtooth_starts(60, 12, 5),
        sliding_7=sliding_starts(60, 7),
    )

    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 30, 40))
    scan_times = 1.0 + 2.0 * np.arange(15)
    values = rng.standard_normal((15, 3))
    np.savez_compressed(
        HERE / "alignment.npz",
        times=times,
        scan_times=scan_times,
        lanczos=lanczos(times, scan_times, lobes=3),
        values=values,
        fir=fir(values, [1, 2, 3, 4]),
    )

    sound = np.round(3000 * rng.standard_normal(round(0.55 * RATE))).astype(np.int16)
    arrays: dict[str, NDArray[np.generic]] = {"sound": sound}
    for model_type in ("hubert", "wavlm"):
        config = transformers.AutoConfig.for_model(model_type, **SPEECH)
        torch.manual_seed(0)
        network = transformers.AutoModel.from_config(config).eval()
        weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
        arrays |= {f"{model_type}/weights/{name}": value for name, value in weights.items()}
        arrays[f"{model_type}/states"] = speech_states(network.double(), sound / 32768.0)
    np.savez_compressed(HERE / "speech.npz", **arrays)


if __name__ == "__main__":
    main()
