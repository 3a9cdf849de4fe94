# %% [markdown]
# Every command has a Python function of the same name. This notebook makes a dataset from arrays,
# runs models on it, looks at their scores, and tests two of them against each other. Nothing is
# downloaded.
#
# First a listener: words that come faster and slower, twenty voxels that follow the rate of words
# two volumes (TRs) later, and twenty voxels of noise.

# %%
import numpy as np
import pandas as pd

import voxelzoo

rng = np.random.default_rng(0)


def speech(n_words=300):
    pace = np.repeat(rng.uniform(0.5, 2.0, n_words // 10), 10)
    onsets = np.cumsum(rng.gamma(2.0, 0.15, n_words) * pace)
    words = [f"word{i}" for i in rng.integers(0, 2000, n_words)]
    return pd.DataFrame({"word": words, "onset": onsets, "offset": onsets + 0.1})


def scan(words, tr=2.0):
    n_trs = int(words["onset"].iloc[-1] // tr)
    rate = np.histogram(words["onset"], np.arange(n_trs + 1) * tr)[0]
    follows = np.roll(rate, 2)[:, None] + rng.normal(size=(n_trs, 20))
    return np.hstack([follows, rng.normal(size=(n_trs, 20))])


words = {story: speech() for story in ("a", "b", "c", "d")}
dataset = voxelzoo.InMemoryDataset(
    "sketch",
    responses={"S1": {story: scan(table) for story, table in words.items()}},
    words=words,
    tr=2.0,
    test_stories=["d"],
    voxel_labels=["follows the rate"] * 20 + ["noise"] * 20,
)
dataset

# %% [markdown]
# ## Two models
#
# `run` takes names of models, as `zoo run --plugin` does, and returns results. They are kept in the
# store: the same call again computes nothing.

# %%
options = voxelzoo.RunOptions(keep=["predictions"])
results = voxelzoo.run(["word-rate", "position"], dataset, options=options, progress=False)
results.regions()[["model", "region", "n_voxels", "mean_r"]]

# %% [markdown]
# Word rate predicts the voxels that follow it, and none of the noise; the position of a word in its
# story predicts neither. `results.table()` has everything that tells two results apart. A map is a
# labelled array:

# %%
r = results[0].array("r")
r.groupby("region").mean().to_series().round(2)

# %% [markdown]
# ## Is one better than the other?
#
# `test` compares two results on the same held-out responses, region by region, by swapping their
# predictions in blocks of time.

# %%
comparison = voxelzoo.test("zoo-store", results[0].key, results[1].key)
comparison.table("regions")[["region", "r_first", "r_second", "difference", "p"]].round(3)

# %% [markdown]
# ## A curve over layers
#
# An untrained network is the usual control: the architecture of OPT-125M with random weights. Its
# states know when words come, so they predict some of what word rate does.

# %%
options = voxelzoo.RunOptions(untrained=True, layers="0,3,6,9,12")
network = voxelzoo.run("opt-125m", dataset, options=options, progress=False)
curve = network.regions().pivot(index="layer", columns="region", values="mean_r")
axes = curve.plot(marker="o", xlabel="layer", ylabel="mean r", title="OPT-125M, untrained")
