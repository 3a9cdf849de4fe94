"""Recipes that tests start from, and the types of the fixtures that read and run them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from voxelzoo.recipes.schema import Recipe

Load = Callable[[str], Recipe]
"""``load(text)``: the recipe of that text."""

Reproduce = Callable[..., dict[str, Any]]
"""``reproduce(text, "--figure", "one")``: what ``zoo reproduce --json`` prints of it."""

ONE_FIGURE = """\
schema_version: 1
name: mine
title: Mine
data:
  dataset: simulated
models:
  word-rate: {}
figures:
  one:
    kind: map
    summary: r of every voxel
    models: [word-rate]
expect:
  first:
    figure: one
    statistic: mean_r
    value: 0.2
    tolerance: 0.1
    why: a guess
    source: nowhere
"""
"""One model, one figure, one expectation, which is met."""

EVERY_KIND = """\
schema_version: 1
name: mine
title: Mine
data:
  dataset: simulated
  options: {subjects: "2", stories: "3", voxels: "16", repeats: "4", seconds: "60"}
models:
  word-rate: {}
  word-length: {}
  opt-125m: {layers: "9"}
figures:
  everywhere: {kind: map, summary: r, models: [word-rate]}
  one-region: {kind: map, summary: r, models: [word-rate], region: word-rate, subjects: [sub-02]}
  no-region: {kind: map, summary: r, models: [word-rate], region: AC}
  stories:
    kind: data-scaling
    summary: more data
    models: [word-rate, word-length]
    n_stories: [1, 2, 9]
    n_subsets: 2
  depth: {kind: layers, summary: layers, models: [word-rate, opt-125m]}
  bound: {kind: ceiling, summary: ceilings, models: [word-rate], least_ceiling: 0.3}
  big: {kind: map, summary: r, models: [opt-125m], layers: {opt-125m: 9}}
  start: {kind: long-context, summary: first seconds, models: [word-rate], seconds: 30}
  against:
    kind: baseline
    summary: beats word rate
    models: [word-length]
    baseline: word-rate
    n_permutations: 99
  two: {kind: data-scaling, summary: two, models: [word-rate], n_stories: [1, 2], n_subsets: 2}
  doubling:
    kind: voxel-scaling
    summary: gain by doubling the stories
    models: [word-rate]
    n_stories: [1, 2, 9]
    n_subsets: 2
  stack:
    kind: stacking
    summary: both
    models: [word-length, word-rate]
    layers: {word-length: 0, word-rate: 0}
    single: word-rate
  between: {kind: inter-subject, summary: subjects, models: [word-rate], story: story01}
expect:
  right:
    figure: everywhere
    statistic: n_voxels
    value: 32
    tolerance: 0
    why: exact
    source: here
  wrong:
    figure: everywhere
    statistic: mean_r
    value: 0.9
    tolerance: 0.05
    why: guess
    source: here
  either:
    figure: everywhere
    readings: {high: n_voxels, low: mean_r}
    value: 32
    tolerance: 1
    why: guess
    source: here
  high: {figure: one-region, statistic: mean_r, above: 0.5, source: here}
  nowhere: {figure: no-region, statistic: mean_r, above: 0, source: here}
  partly: {figure: depth, statistic: baselines.best_mean_signed_r2, above: -1, source: here}
  one-layer:
    figure: depth
    statistic: word-rate.best_layer
    value: 0
    tolerance: 0
    why: exact
    source: here
  other-model:
    figure: depth
    statistic: baselines.best_mean_signed_r2
    models: [word-rate]
    above: -1
    source: here
  two-sizes: {figure: two, statistic: fit_r, above: 0, source: here}
  weights: {figure: big, statistic: mean_r, above: 0, source: here}
  words: {figure: bound, claim: "room is left", source: here}
  effort: {claim: "a lot of work", statistic: cpu_hours, source: here}
  belief: {claim: "it was fun", source: here}
"""
"""A figure of every kind but size-scaling, and expectations with every outcome."""
