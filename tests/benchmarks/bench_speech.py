"""Windows a second of speech extraction, against the paper's procedure and the bare encoder.

    python tests/benchmarks/bench_speech.py --family whisper --dtype bfloat16

(a) is the procedure of the paper's script as a plain loop: the feature extractor on each window,
float32, eight windows a batch, every hidden state kept, one frame of each read. (b) is the encoder
alone, on windows that are ready, in the dtype under test and the batch ours uses. Rounds of the
three alternate, so that a busy machine slows all alike; the best round of each counts. With
OMP_NUM_THREADS=1 it is processor time that counts, which a busy machine disturbs least. Networks
have the true shape and random weights. On a GPU, add ``--device cuda --shape large``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speech import RATE, extractor_for, noise, story_of
from voxelzoo.api import ModelEntry

WINDOW, STRIDE = 16.1, 0.1

WHISPER: dict[str, Any] = {"model_type": "whisper", "decoder_layers": 1, "vocab_size": 64} | {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16} | {
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
}


def whisper(width: int, layers: int, heads: int, mels: int = 80) -> dict[str, Any]:
    sizes = {"d_model": width, "encoder_layers": layers, "encoder_attention_heads": heads}
    decoder = {"decoder_attention_heads": heads, "decoder_ffn_dim": 64}
    return WHISPER | sizes | decoder | {"encoder_ffn_dim": 4 * width, "num_mel_bins": mels}


SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("whisper", "tiny"): whisper(384, 4, 6),
    ("whisper", "large"): whisper(1280, 32, 20),
    ("hubert", "base"): {"model_type": "hubert"},
    ("hubert", "large"): {"model_type": "hubert", **LARGE},
    ("wavlm", "base"): {"model_type": "wavlm"},
    ("wavlm", "large"): {"model_type": "wavlm", **LARGE},
}


def feature_extractor(figures: dict[str, Any]) -> Any:
    if figures["model_type"] == "whisper":
        return transformers.WhisperFeatureExtractor(feature_size=figures["num_mel_bins"])
    return transformers.Wav2Vec2FeatureExtractor(do_normalize=True)


def publish(figures: dict[str, Any], folder: Path) -> None:
    """A checkpoint with random weights, as if it had been trained."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**figures)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    feature_extractor(figures).save_pretrained(folder)


def network(folder: Path, dtype: torch.dtype, device: str) -> Any:
    model = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval().to(device)
    return getattr(model, "encoder", None) if hasattr(model, "decoder") else model


def hear(figures: dict[str, Any], windows: list[NDArray[np.float32]]) -> torch.Tensor:
    heard = feature_extractor(figures)(windows, sampling_rate=RATE, return_tensors="pt")
    return heard["input_features" if figures["model_type"] == "whisper" else "input_values"]


def reference(
    model: Any, figures: dict[str, Any], windows: list[NDArray[np.float32]], device: str
) -> NDArray[np.float32]:
    """(a): states (layer, window, unit)."""
    found = []
    for first in range(0, len(windows), 8):
        value = hear(figures, windows[first : first + 8]).to(device)
        with torch.no_grad():
            states = model(value, output_hidden_states=True).hidden_states
        frame = 805 if figures["model_type"] == "whisper" else -1
        found.append(np.stack([state[:, frame].cpu().numpy() for state in states]))
    return np.concatenate(found, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--family", default="whisper", choices=["whisper", "hubert", "wavlm"])
    parser.add_argument("--shape")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    shape = asked.shape or ("tiny" if asked.family == "whisper" else "base")
    figures = SHAPES[asked.family, shape]

    sound = noise(WINDOW + STRIDE * (asked.windows - 1))
    step, size = round(STRIDE * RATE), round(WINDOW * RATE)
    windows = [sound[i * step : i * step + size] for i in range(asked.windows)]
    dtype = getattr(torch, asked.dtype)
    with tempfile.TemporaryDirectory() as folder:
        publish(figures, Path(folder))
        row = ModelEntry(name=shape, plugin=asked.family, modality="audio", repo=folder)
        ours = extractor_for(row, dtype=asked.dtype, device=asked.device, full_context="true")
        full = network(Path(folder), torch.float32, asked.device)
        bare = network(Path(folder), dtype, asked.device)
        story, layers = story_of(sound), ours.layers()
        next(iter(ours.extract(story, layers)))  # loads the network
    ready = hear(figures, windows).to(asked.device, dtype)
    batch = ours._encoder.block_batch_size  # type: ignore[attr-defined]

    def run_bare() -> None:
        with torch.inference_mode():
            for first in range(0, len(ready), batch):
                bare(ready[first : first + batch])

    def run_ours() -> NDArray[np.float32]:
        return np.concatenate([block.states for block in ours.extract(story, layers)], axis=1)

    def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
        begin = clock()
        value = run()
        if asked.device.startswith("cuda"):
            torch.cuda.synchronize()
        return clock() - begin, value

    alone = asked.device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    best = {"reference": np.inf, "bare": np.inf, "ours": np.inf}
    for _ in range(asked.rounds):
        spent, wanted = seconds(lambda: reference(full, figures, windows, asked.device))
        best["reference"] = min(best["reference"], spent)
        best["bare"] = min(best["bare"], seconds(run_bare)[0])
        spent, states = seconds(run_ours)
        best["ours"] = min(best["ours"], spent)

    flat = (states * wanted).sum(-1)
    cosine = flat / (np.linalg.norm(states, axis=-1) * np.linalg.norm(wanted, axis=-1))
    rates = {name: asked.windows / spent for name, spent in best.items()}
    report = {
        "model": f"{asked.family}-{shape}",
        "dtype": asked.dtype,
        "device": asked.device,
        "threads": torch.get_num_threads(),
        "windows_per_second": {name: round(rate, 3) for name, rate in rates.items()},
        "times_reference": round(rates["ours"] / rates["reference"], 2),
        "times_bare": round(rates["ours"] / rates["bare"], 2),
        "lowest_mean_cosine_of_a_layer": round(float(cosine.mean(axis=1).min()), 6),
        "lowest_cosine": round(float(cosine.min()), 6),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
