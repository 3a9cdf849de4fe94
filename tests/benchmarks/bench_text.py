"""Words a second of text extraction, as ratios within one run on one machine.

Against (a) one forward pass a word, each with the same context, and (b) the network alone, run over
the same batches with nothing kept: what no extraction can beat. Networks are untrained; their
shapes are the catalogue's.

    python tests/benchmarks/bench_text.py --model gpt2 --model opt-125m
    python tests/benchmarks/bench_text.py --model llama-7b --device cuda --dtype bfloat16
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from voxelzoo.api import ExtractorRequest, ModelEntry, Story, Words
from voxelzoo.host.catalogue import load_catalogue
from voxelzoo.host.loading import load_host
from voxelzoo_transformers.text.batches import next_batch

PEAK = {"NVIDIA H200": 989e12, "NVIDIA H100": 989e12, "NVIDIA A100": 312e12}
"""Dense bf16 FLOP/s that the maker states."""


def story_of(n: int) -> Story:
    """Words of one or two pieces, three a second, about 1.3 tokens each."""
    rng = np.random.default_rng(0)
    text = tuple(
        f"word{i}" + ("'s" if rng.random() < 0.15 else "") for i in rng.integers(5000, size=n)
    )
    onsets = np.arange(n) / 3
    return Story("benchmark", words=Words(text, onsets, onsets + 0.3))


def seconds(runs: Sequence[Callable[[], object]], device: str, repeats: int) -> list[float]:
    """Median time of each, in seconds, in turns after a first that warms up.

    In turns, so that whatever else the machine does falls on all alike.
    """
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats + 1):
        for run, times in zip(runs, taken, strict=True):
            started = time.perf_counter()
            run()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            times.append(time.perf_counter() - started)
    return [statistics.median(times[1:]) for times in taken]


def measure(row: ModelEntry, arguments: argparse.Namespace) -> dict[str, Any]:
    """Words a second: ours, one pass a word, and the network alone."""
    options = {"batch_tokens": arguments.batch_tokens} if arguments.batch_tokens else {}
    request = ExtractorRequest(
        row, untrained=True, device=arguments.device, dtype=arguments.dtype, options=options
    )
    module = importlib.import_module(f"voxelzoo_{row.plugin}.plugin")
    spec = next(s for s in module.zoo_register_extractors() if s.modality == "text")
    package, _, name = spec.target.partition(":")
    extractor = getattr(importlib.import_module(package), name)(request)
    story = story_of(arguments.words)
    reading = extractor.reading(story)
    layers = list(extractor.layers())
    model = extractor.load().model
    passes, feeds, done = list(reading.passes()), [], 0
    while done < len(passes):
        batch = next_batch(passes, done, extractor.tokens_at_once(layers))
        feeds.append(extractor.feed(reading, batch)[0].to(arguments.device))
        done += len(batch)
    chosen = np.linspace(0, len(reading) - 1, arguments.sample).astype(int)
    first = list(extractor.first_tokens())
    contexts = [
        torch.tensor([first + reading.ids[reading.start[i] : reading.last[i] + 1].tolist()])
        for i in chosen
    ]

    @torch.inference_mode()
    def one_pass_a_word() -> None:
        for context in contexts:
            ids = context.to(arguments.device)
            hidden = model(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
            torch.stack([layer[0, -1] for layer in hidden]).float().cpu()

    @torch.inference_mode()
    def alone() -> None:
        for ids in feeds:
            model(input_ids=ids, use_cache=False)

    def ours() -> None:
        for _ in extractor.extract(story, layers):
            pass

    bare, full, sampled = seconds(
        [alone, ours, one_pass_a_word], arguments.device, arguments.repeats
    )
    naive = sampled / len(contexts) * len(reading)
    fed = sum(ids.numel() for ids in feeds)
    parameters = sum(p.numel() for p in model.parameters())
    found = {
        "model": row.name,
        "words": len(reading),
        "tokens": len(reading.ids),
        "tokens_fed": fed,
        "words_per_second": round(len(reading) / full, 1),
        "times_one_pass_a_word": round(naive / full, 1),
        "share_of_bare_forward": round(bare / full, 3),
    }
    if arguments.device.startswith("cuda"):
        name = torch.cuda.get_device_name()
        peak = next((p for known, p in PEAK.items() if name.startswith(known)), None)
        if peak:
            found["share_of_peak_flops"] = round(2 * parameters * fed / full / peak, 3)
    extractor.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", action="append", help="a row of the catalogue; repeatable")
    parser.add_argument("--words", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=24, help="words timed one pass each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-tokens", help="tokens fed at a time")
    arguments = parser.parse_args()
    catalogue = load_catalogue(load_host())
    for name in arguments.model or ["gpt2", "opt-125m"]:
        for key, value in measure(catalogue.find(name), arguments).items():
            print(f"{key:24} {value}")
        print()


if __name__ == "__main__":
    main()
