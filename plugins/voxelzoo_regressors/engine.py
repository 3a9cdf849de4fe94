"""Ridge for many voxels from one decomposition.

With an unpenalised intercept, ridge is a linear smoother ``Yhat = H Y``, where
``H = 11'/n + Q diag(s / (s + alpha)) Q'`` and ``Q diag(sqrt(s)) V'`` is the centred design.
Leaving rows ``B`` out and fitting again makes their residuals ``(I - H_BB)^-1 (Y - H Y)_B``,
exactly. So one eigendecomposition serves every alpha, fold and voxel, and every subject who heard
the same stories; a fold costs one small inverse, and the sweep over alphas is a matrix product.

All alphas need even fewer products than one each: ``s / (s + alpha)`` as a function of ``s``
changes slowly with alpha, so a few orthonormal profiles span them (:func:`profiles`).
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxelzoo_regressors.design import Design
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold

log = logging.getLogger("voxelzoo.ridge")


# --------------------------------------------------------------------------------- decomposition


@dataclass(frozen=True)
class Decomposition:
    """Thin singular value decomposition of a centred design, ``Q diag(sqrt(s)) V'``, in float64.

    ``path`` says which Gram matrix it came from: ``primal`` (of features) or ``dual`` (of rows).
    """

    design: Design
    Q: Tensor
    """(row, rank) float64."""
    s: Tensor
    """(rank,) float64: eigenvalues of the Gram matrix, descending."""
    V: Tensor | None
    """(feature, rank) float64 on the primal path; on the dual one it is never formed."""
    intercept: bool
    path: str

    @property
    def mean(self) -> Tensor:
        """What was subtracted from the design's columns, (feature,), float64."""
        mean = self.design.mean
        return mean if self.intercept else torch.zeros_like(mean)

    @property
    def spans_rows(self) -> bool:
        """Whether nothing of a (centred) response is outside the design's span."""
        return len(self.s) >= len(self.Q) - self.intercept

    def coordinates(self, new: Design, dtype: torch.dtype) -> Tensor:
        """Rows of another design in the basis where the training rows are ``Q``: (row, rank)."""
        root = self.s.sqrt()
        if self.V is not None:
            V = self.V / root
            return (new.to(torch.float64).times(V) - self.mean @ V).to(dtype)
        # (x - m)'(X - m)' Q = (x X' - (X m)') Q, since Q's columns sum to zero.
        train = self.design.to(torch.float64)
        product = new.to(torch.float64).row_gram(train)
        if self.intercept:
            product -= train.times(self.mean[:, None]).T
        return (product @ self.Q / self.s).to(dtype)

    def weights(self, scaled: Tensor) -> Tensor:
        """Weights (feature, voxel) for predictions ``coordinates @ scaled``."""
        scaled = scaled.to(torch.float64) / self.s.sqrt()[:, None]
        if self.V is not None:
            return self.V @ scaled
        inner = self.Q @ (scaled / self.s.sqrt()[:, None])
        return self.design.to(torch.float64).transpose_times(inner)


def decompose(design: Design, intercept: bool = True) -> Decomposition:
    """Decomposes the smaller of the design's two Gram matrices.

    Directions with less than ``eps * max(shape)`` of the largest eigenvalue are dropped: the
    design says nothing along them.
    """
    n, p = design.n_rows, design.n_features
    exact = design.to(torch.float64)
    path = "dual" if n <= p else "primal"
    gram = exact.row_gram(exact) if path == "dual" else exact.feature_gram()
    if intercept and path == "dual":
        gram -= gram.mean(0)
        gram -= gram.mean(1, keepdim=True)
    elif intercept:
        gram.addr_(design.mean, design.mean, alpha=-n)
    s, vectors = _eigh(gram)
    least = torch.finfo(torch.float64).eps * max(n, p) * max(float(s[-1]), 0.0)
    keep = s > least
    s, vectors = s[keep].flip(0), vectors[:, keep].flip(1)
    log.debug("decomposed %d x %d, rank %d, %s path", n, p, len(s), path)
    return decomposition_of(design, s, vectors, intercept)


def decomposition_of(design: Design, s: Tensor, vectors: Tensor, intercept: bool) -> Decomposition:
    """The decomposition with these eigenvalues, and eigenvectors of the smaller Gram matrix."""
    if design.n_rows <= design.n_features:
        return Decomposition(design, vectors, s, None, intercept, "dual")
    V = vectors / s.sqrt()
    Q = design.to(torch.float64).times(V)
    if intercept:
        Q -= design.mean @ V
    return Decomposition(design, Q, s, vectors, intercept, "primal")


def _eigh(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (ascending) and vectors. LAPACK through scipy on CPU, in place."""
    if gram.device.type != "cpu":
        s, vectors = torch.linalg.eigh(gram)
        return s, vectors
    found = scipy.linalg.eigh(gram.numpy(), overwrite_a=True, check_finite=False, driver="evd")
    return torch.from_numpy(found[0]), torch.from_numpy(np.ascontiguousarray(found[1]))


# ----------------------------------------------------------------------------------------- sweep


@dataclass(frozen=True)
class Profiles:
    """Few shrinkage profiles that span those of every alpha.

    Alpha ``a`` leaves the residual ``e Y + sum_i mix[a, i] Q diag(rows[i]) Q' Y`` with ``e`` 0 or
    1. Profile ``i`` is a row (reach,): zero beyond the first ``reach`` eigenvalues, so that its
    product needs those alone.
    """

    rows: list[Tensor]
    mix: Tensor
    """(alpha, profile + 1); the last column, ``e``, is that of the responses themselves."""

    @property
    def work(self) -> int:
        """Eigenvectors in all products together."""
        return sum(len(row) for row in self.rows)


def profiles(
    s: Tensor, alphas: Sequence[float], tolerance: float, n_outside: int | None
) -> Profiles:
    """Profiles for eigenvalues ``s`` (rank,), descending.

    What alpha keeps, ``s / (s + alpha)``, changes slowly with alpha, and slowest where many
    eigenvalues lie within a decade or two: the long tail. So profiles are found from the tail to
    the head, each stretch of the spectrum adding those that the stretches behind it did not need.
    Every alpha is met to ``tolerance`` of what it keeps or what it leaves, the smaller.

    ``n_outside`` is the number of dimensions that the design does not span. If there are none
    (``None``) small alphas leave next to nothing, which is then modelled in place of what is
    kept, so that it does not drown in rounding; and to a tenth of ``tolerance``, since leaving
    rows out divides by it.
    """
    alpha = torch.tensor(alphas, dtype=torch.float64, device=s.device)[:, None]
    kept, removed = s / (s + alpha), alpha / (s + alpha)
    left = (removed.square().sum(1) + (n_outside or 0)).sqrt()
    size = torch.minimum(kept.norm(dim=1), left).clamp_min(1e-300)[:, None]
    use_removed = (left < kept.norm(dim=1)) & (n_outside is None)
    parts = torch.where(use_removed[:, None], removed, -kept) / size
    if n_outside is None:
        tolerance /= 10
    edges = _stretches(len(s))
    found, reaches = parts.new_empty((len(alpha), 0)), []
    for start, stop in itertools.pairwise(edges) if len(s) else ():
        rest = parts[:, stop:start]
        rest = rest - found @ (found.T @ rest)
        U, S, _ = torch.linalg.svd(rest, full_matrices=False)
        # A stretch's share of the error is its share of the spectrum: the head is met best.
        allowed = tolerance * ((start - stop) / len(s)) ** 0.5
        missed = (U * S).square().flip(1).cumsum(1).flip(1).amax(0).sqrt()
        new = min(int((missed > allowed).sum()), len(alpha) - found.shape[1])
        found = torch.linalg.qr(torch.cat([found, U[:, :new]], 1))[0]
        reaches += [start] * new
    rows = [row[:reach] for row, reach in zip(found.T @ parts, reaches, strict=True)]
    mix = torch.cat([size * found, (~use_removed[:, None]).to(found)], 1)
    return Profiles(rows, mix)


def _stretches(rank: int) -> list[int]:
    """Edges of stretches of the spectrum, each half of what is before it, from the tail to 0."""
    edges = [rank]
    while edges[-1] > 32:
        edges.append(edges[-1] // 2)
    return [*edges, 0]


@dataclass(frozen=True)
class Score:
    """How held-out predictions are judged: sums over a fold's scored rows into a score.

    ``of`` takes ``yy, pp, py, ee`` (voxel,): sums of squares and products of response,
    prediction and residual, with means removed where ``centred``, and the number of rows.
    """

    of: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
    centred: bool
    needs: str
    """``prediction`` (``pp`` and ``py``) or ``residual`` (``ee``): the sums it reads."""


def _correlation(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    return py / (pp * yy).sqrt()


def _r2(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    return 1 - ee / yy


def _signed_root_r2(yy: Tensor, pp: Tensor, py: Tensor, ee: Tensor, n: int) -> Tensor:
    r2 = 1 - (ee / n) / ((1 + yy / n) / 2)
    return r2.sign() * r2.abs().sqrt()


SCORES = {
    "correlation": Score(_correlation, centred=True, needs="prediction"),
    "r2": Score(_r2, centred=False, needs="residual"),
    "signed_root_r2": Score(_signed_root_r2, centred=True, needs="residual"),
}
"""``signed_root_r2`` is the released code's: ``R2 = 1 - var(residual) / ((1 + var(response)) / 2)``
with its sign and the root of its size (Antonello et al. 2023)."""


@dataclass(frozen=True)
class Projected:
    """Responses seen from the design: a block of voxels, ready for every alpha."""

    centred: Tensor
    """(row, voxel)."""
    Z: Tensor
    """(rank, voxel): coordinates ``Q' Y``."""
    mean: Tensor
    """(voxel,): what was subtracted; zero without an intercept."""


class AlphaSearch:
    """Scores and held-out predictions of every alpha, prepared once for all voxels.

    ``reduced`` makes the large products in bfloat16; everything that amplifies rounding, the
    small solves above all, stays in ``dtype``.
    """

    def __init__(
        self,
        decomposition: Decomposition,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        dtype: torch.dtype,
        reduced: bool = False,
    ) -> None:
        self.decomposition = decomposition
        self.folds = folds
        self.alphas = list(alphas)
        self.dtype = dtype
        self.device = decomposition.Q.device
        self._Q = decomposition.Q.to(dtype)
        self._rooms: dict[str, Tensor] = {}
        self._changes: dict[tuple[int, int], Tensor] = {}
        self._product_dtype = dtype
        self.reduce(reduced)
        self._held = [torch.as_tensor(fold.held, device=self.device) for fold in folds]
        self._scored = [
            torch.as_tensor(fold.scored_within_held(), device=self.device) for fold in folds
        ]

    def reduce(self, reduced: bool) -> None:
        """Makes the large products in bfloat16, or in the sweep's own precision."""
        self._product_dtype = torch.bfloat16 if reduced else self.dtype
        for name in ("profiles", "_product_basis"):
            self.__dict__.pop(name, None)
        self._rooms.clear()

    @property
    def precision(self) -> str:
        """Precision of the fit, and of its large products where that is another."""
        names = [str(d).removeprefix("torch.") for d in (self.dtype, self._product_dtype)]
        return names[0] if names[0] == names[1] else f"{names[0]} ({names[1]} sweep)"

    @cached_property
    def _product_basis(self) -> Tensor:
        return self._Q.to(self._product_dtype)

    @cached_property
    def profiles(self) -> Profiles:
        """Shrinkage profiles in the sweep's precision."""
        tolerance = {torch.float64: 1e-13, torch.float32: 3e-4, torch.bfloat16: 2e-3}
        n_outside = len(self._Q) - self.decomposition.intercept - len(self.decomposition.s)
        found = profiles(
            self.decomposition.s,
            self.alphas,
            tolerance[self._product_dtype],
            None if self.decomposition.spans_rows else n_outside,
        )
        log.debug(
            "%d alphas by %d products that cost %.1f",
            len(self.alphas),
            len(found.rows),
            found.work / max(1, len(self.decomposition.s)),
        )
        return Profiles([row.to(self.dtype) for row in found.rows], found.mix.to(self.dtype))

    def _left(self, Q: Tensor, alpha: float) -> Tensor:
        """``I - H_BB`` (held, held), ``Q`` being the held-out rows of the basis."""
        s = self.decomposition.s
        # From what is left where it can be: little of the identity may be.
        if self.decomposition.spans_rows:
            return (Q * (alpha / (s + alpha)).to(Q)) @ Q.T
        left = -(Q * (s / (s + alpha)).to(Q)) @ Q.T
        left.diagonal().add_(1)
        if self.decomposition.intercept:
            left -= 1 / len(self._Q)
        return left

    def _solver(self, fold: int, alpha: float, dtype: torch.dtype = torch.float64) -> Tensor:
        """``(I - H_BB)^-1``, its scored rows, (scored, held).

        In ``dtype`` if that loses no more than three digits, else in float64.
        """
        basis = self._Q if dtype == self.dtype else self.decomposition.Q
        left = self._left(basis[_as_slice(self._held[fold])], alpha)
        factor, failed = torch.linalg.cholesky_ex(left)
        largest = left.diagonal().max()
        if dtype != torch.float64:
            if not failed and factor.diagonal().square().min() > 1e-2 * largest:
                inverse = torch.cholesky_inverse(factor)
                if inverse.diagonal().max() * largest < 1e3:
                    return inverse[_as_slice(self._scored[fold])]
            return self._solver(fold, alpha).to(dtype)
        if failed or factor.diagonal().square().min() < 1e-12 * largest:
            raise FitError(
                f"alpha {alpha:g} is too small for this design: what leaving rows out changes is "
                "lost in rounding; use larger alphas, or z-score the design"
            )
        return torch.cholesky_inverse(factor)[self._scored[fold]]

    def forget_folds(self) -> None:
        """Frees what only scores and held-out predictions use; it is made again when asked for."""
        for name in ("_solvers", "_product_basis"):
            self.__dict__.pop(name, None)
        self._rooms.clear()
        self._changes.clear()

    @cached_property
    def _solvers(self) -> list[Tensor]:
        """For each fold (alpha, scored, held)."""
        return [
            torch.stack([self._solver(i, alpha, self.dtype) for alpha in self.alphas])
            for i in range(len(self.folds))
        ]

    def project(self, Y: Tensor) -> Projected:
        """Centres responses (row, voxel) and takes their coordinates."""
        mean = Y.mean(0) if self.decomposition.intercept else Y.new_zeros(Y.shape[1])
        centred = Y - mean
        return Projected(centred, self._Q.T @ centred, mean)

    def scores(self, y: Projected, *wanted: Score) -> Tensor:
        """Mean scores over folds, (score, alpha, voxel); a fold where one is undefined counts as
        zero."""
        rows, mix = self.profiles.rows, self.profiles.mix
        n_rows, n_voxels = y.centred.shape
        products = self._room("products", (len(rows), n_rows, n_voxels), self._product_dtype)
        for i, row in enumerate(rows):
            scaled = (row[:, None] * y.Z[: len(row)]).to(self._product_dtype)
            torch.mm(self._product_basis[:, : len(row)], scaled, out=products[i])
        total = y.centred.new_zeros((len(wanted), len(self.alphas), n_voxels))
        for held, scored, solvers in zip(self._held, self._scored, self._solvers, strict=True):
            block = _as_slice(held)
            response = y.centred[block]
            parts = self._room("parts", (len(rows) + 1, len(held), n_voxels))
            parts[:-1] = products[:, block]
            parts[-1] = response
            residuals = self._room("residuals", (len(mix), len(held), n_voxels))
            torch.mm(mix, parts.flatten(1), out=residuals.flatten(1))
            for score, found in zip(wanted, total, strict=True):
                found += _fold_scores(score, solvers, residuals, response[_as_slice(scored)])
        return total / len(self.folds)

    def reduced_loss(self, y: Projected, score: Score) -> float:
        """What bfloat16 products cost these voxels: the mean score that is lost by the alphas
        they choose."""
        self.reduce(False)
        exact = self.scores(y, score)[0]
        self.reduce(True)
        chosen = self.scores(y, score)[0].argmax(0)
        return float((exact.amax(0) - exact.gather(0, chosen[None])[0]).mean())

    def _room(self, name: str, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Work space that outlives a block of voxels: new pages cost as much as a pass."""
        size, dtype = math.prod(shape), dtype or self.dtype
        kept = self._rooms.get(name)
        if kept is None or len(kept) < size:
            kept = self._rooms[name] = torch.empty(size, dtype=dtype, device=self.device)
        return kept[:size].view(*shape)

    def held_out(self, y: Projected, choice: Tensor) -> Tensor:
        """Predictions (row, voxel) of every scored row from the folds that do not train on it.

        ``choice`` (voxel,) is each voxel's index into ``alphas``; equal to explicit refits. Rows
        that no fold scores are NaN; of several predictions for a row, the last fold's is kept.
        """
        kept, removed = self._shrinkage(choice)
        fitted = self._Q @ (kept * y.Z)
        residual = self._outside(y) + self._Q @ (removed * y.Z)
        found = torch.full_like(y.centred, torch.nan)
        of_alpha = {a: torch.nonzero(choice == a).squeeze(1) for a in choice.unique().tolist()}
        for i, (held, scored) in enumerate(zip(self._held, self._scored, strict=True)):
            rows, block = held[scored], residual[_as_slice(held)]
            error = torch.empty((len(scored), len(choice)), dtype=self.dtype, device=self.device)
            for a, voxels in of_alpha.items():
                error[:, voxels] = self._change(i, a) @ block[:, voxels]
            found[rows] = fitted[rows] + y.mean - error
        return found

    def _change(self, fold: int, a: int) -> Tensor:
        """``(I - H_BB)^-1 - I``, its scored rows: ``Y - S r = H Y - (S - I) r``, without the
        difference of two large numbers."""
        found = self._changes.get((fold, a))
        if found is None:
            scored = self._scored[fold]
            change = self._solver(fold, self.alphas[a])
            change[torch.arange(len(scored), device=self.device), scored] -= 1
            found = self._changes[fold, a] = change.to(self.dtype)
        return found

    def weights(self, Z: Tensor, choice: Tensor) -> Tensor:
        """Final fit on all rows: weights (rank, voxel) for the design's coordinates."""
        return self._shrinkage(choice)[0] * Z

    def _outside(self, y: Projected) -> Tensor:
        """What of the responses is outside the design's span, (row, voxel)."""
        if self.decomposition.spans_rows:
            return torch.zeros_like(y.centred)
        return y.centred - self._Q @ y.Z

    def _shrinkage(self, choice: Tensor) -> tuple[Tensor, Tensor]:
        """``s / (s + alpha)`` at each voxel's alpha, (rank, voxel), and what it takes from one."""
        s = self.decomposition.s[:, None]
        alpha = torch.tensor(self.alphas, dtype=s.dtype, device=s.device)
        kept, removed = s / (s + alpha), alpha / (s + alpha)
        return kept.to(self.dtype)[:, choice], removed.to(self.dtype)[:, choice]


def _fold_scores(score: Score, solvers: Tensor, residuals: Tensor, y: Tensor) -> Tensor:
    """Scores (alpha, voxel) of a fold from what each alpha leaves of its responses ``y``."""
    n = len(y)
    if score.centred:
        y = y - y.mean(0)
        solvers = solvers - solvers.mean(1, keepdim=True)
    yy = (y if score.centred else y - y.mean(0)).square().sum(0)
    work, none = torch.empty_like(y), yy.new_zeros(())
    found = yy.new_empty((len(residuals), y.shape[1]))
    for i, (solver, residual) in enumerate(zip(solvers, residuals, strict=True)):
        # One alpha at a time, so that its block stays in cache between passes.
        if score.needs == "residual":
            error = torch.mm(solver, residual, out=work)
            found[i] = score.of(yy, none, none, _squares(error), n)
        else:
            prediction = torch.addmm(y, solver, residual, alpha=-1)
            py = torch.mul(prediction, y, out=work).sum(0)
            found[i] = score.of(yy, _squares(prediction), py, none, n)
    return torch.nan_to_num_(found, nan=0.0, posinf=0.0, neginf=0.0)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies in bfloat16, so that it gains time and not only memory."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and probe is not None and bool(probe())


def _squares(values: Tensor) -> Tensor:
    """Sum of squares over rows; overwrites ``values``."""
    return torch.mul(values, values, out=values).sum(0)


def _as_slice(rows: Tensor) -> Tensor | slice:
    """Consecutive rows as a slice, which needs no copy."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first + 1 == len(rows) and bool((rows.diff() == 1).all()):
        return slice(first, last + 1)
    return rows


# ---------------------------------------------------------------------------------------- blocks


def block_width(n_rows: int, n_products: int, itemsize: int) -> int:
    """Voxels per block: a work space of about 256 MiB, 64 to 2,048 voxels."""
    width = np.clip(2**28 // (n_rows * (n_products + 2) * itemsize), 64, 2048)
    return int(width) // 64 * 64


def best_alpha(scores: NDArray[np.floating], scope: str | NDArray[np.generic]) -> NDArray[np.intp]:
    """Index of the alpha with the best score, (voxel,), from scores (alpha, voxel).

    ``scope`` is ``"voxel"``, ``"shared"``, or labels (voxel,) of groups that share one. The first
    of equal scores is taken.
    """
    if isinstance(scope, str) and scope == "voxel":
        best: NDArray[np.intp] = scores.argmax(axis=0)
        return best
    labels = np.zeros(scores.shape[1]) if isinstance(scope, str) else np.asarray(scope)
    best = np.empty(scores.shape[1], dtype=np.intp)
    for label in np.unique(labels):
        best[labels == label] = scores[:, labels == label].mean(axis=1).argmax()
    return best
