"""Held-out predictions in closed form, from one fit on all rows.

Ridge is a linear smoother ``Yhat = H Y``, where ``H = 11'/n + M``, ``M = Q diag(k) Q'``,
``k = s / (s + alpha)``, and ``Q diag(sqrt(s)) V'`` is the centred design. Let ``r`` be the
residuals of the fit on all rows. Held-out rows ``B`` have exactly the residuals ``S r_B`` with
``S = (I - H_BB)^-1`` under a fit on all other rows. This is the block form of the leave-one-out
identity behind PRESS (Allen 1974; Golub, Heath & Wahba 1979).

A prediction can thus be formed in two ways. They are equal, but not in floating point:

- *From the response*, as ``y_B - S r_B``. This is accurate where a fit leaves little of a
  response: where alpha is small and the design spans nearly all rows.
- *From the fit*, as ``(M y)_B - C r_B`` up to a constant, where ``C`` is ``S - I`` without what
  only shifts all rows. Both terms are of the prediction's own size. So the prediction is accurate
  even if it is a millionth of the response, as it is where alpha is large. There the first form
  would be rounding error, and a correlation cannot see how small it is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from voxelzoo_regressors.blocks import CACHE_NUMBERS, index_chunks, row_index
from voxelzoo_regressors.decomposition import Decomposition, ProjectedResponses
from voxelzoo_regressors.errors import FitError
from voxelzoo_regressors.folds import Fold
from voxelzoo_regressors.profiles import TOLERANCE, ShrinkageProfiles, shrinkage_profiles
from voxelzoo_regressors.scoring import HeldOutSums, products_with

log = logging.getLogger("voxelzoo.ridge")

_LITTLE = 0.1
"""Dimensions of the responses that a design does not span, as a share of the rows, below which
predictions are formed from the response where alpha is small."""

_DELICATE = 1e3
"""Amplification of rounding by a fold's inverse above which the inverse and the predictions are
made in float64."""


@dataclass(frozen=True)
class _FoldOperators:
    """What turns a fold's residuals into its held-out predictions, for every alpha.

    Parameters
    ----------
    matrices : Tensor of shape (alpha, scored, held)
        ``C`` in the prediction's units, or ``S`` (see the module).
    constants : Tensor of shape (alpha, held)
        Times the residuals, the constant that ``C`` leaves out. 0 for ``S``.
    delicate : mapping of int to (Tensor, Tensor)
        Alphas whose predictions need float64, with their matrix and constants in it.
    """

    matrices: Tensor
    constants: Tensor
    delicate: Mapping[int, tuple[Tensor, Tensor]]


class ClosedForm:
    """Held-out predictions of every fold and alpha, by the closed form.

    Parameters
    ----------
    decomposition : Decomposition
        Of the training design.
    folds : sequence of Fold
        Rows to hold out.
    alphas : sequence of float
        Penalties to try, on the diagonal of the Gram matrix.
    Q : Tensor of shape (row, rank)
        The decomposition's left singular vectors in the precision of scores and predictions.
    product_dtype : torch.dtype
        Precision of the large products.
    """

    def __init__(
        self,
        decomposition: Decomposition,
        folds: Sequence[Fold],
        alphas: Sequence[float],
        Q: Tensor,
        product_dtype: torch.dtype,
    ) -> None:
        self.decomposition, self.folds, self._Q = decomposition, folds, Q
        self.dtype, self.device, self._product_dtype = Q.dtype, Q.device, product_dtype
        self._held = [row_index(fold.held, self.device) for fold in folds]
        self._scored = [row_index(fold.scored_within_held(), self.device) for fold in folds]
        self._scored_rows = [torch.as_tensor(fold.scored, device=self.device) for fold in folds]
        self._buffers: dict[str, Tensor] = {}
        s = decomposition.s
        self._alpha = torch.tensor(alphas, dtype=torch.float64, device=self.device)[:, None]
        self._kept, self._removed = s / (s + self._alpha), self._alpha / (s + self._alpha)
        left = (self._removed.square().sum(1) + max(decomposition.n_outside, 0)).sqrt()
        kept = self._kept.norm(dim=1)
        # Where a design can fit nearly everything, holding rows out divides by the little left.
        fits_all = decomposition.n_outside < _LITTLE * len(decomposition.Q)
        self._from_fit = left >= kept if fits_all else torch.ones_like(left, dtype=torch.bool)
        strictness = 0.1 if fits_all else 1.0
        self._size = (strictness * torch.minimum(kept, left)).clamp_min(1e-300)
        largest = s[0] if len(s) else s.new_ones(())
        units = (largest / (largest + self._alpha)).where(self._from_fit[:, None], 1.0)
        self.units = units.to(Q)
        self._units = units

    # Prepared once, on first use ---------------------------------------------------------------

    @cached_property
    def product_basis(self) -> Tensor:
        """Left singular vectors (row, rank) in the precision of the large products."""
        return self._Q.to(self._product_dtype)

    @cached_property
    def profiles(self) -> ShrinkageProfiles:
        """Basis of what all alphas keep, or of what they remove where that is less.

        Each is approximated to a small share of what an alpha keeps or of what it leaves,
        whichever is smaller.
        """
        shares = torch.where(self._from_fit[:, None], self._kept, self._removed) / self._units
        basis = shrinkage_profiles(
            shares, self._size / self._units[:, 0], TOLERANCE[self._product_dtype]
        )
        log.debug(
            "%d alphas by %d products that cost %.1f",
            len(shares),
            len(basis.rows),
            basis.n_columns / max(1, shares.shape[1]),
        )
        return basis.to(self.dtype)

    @cached_property
    def _outside_operators(self) -> list[Tensor]:
        """Held-out rows and columns of the projection off the design's span, (held, held)."""
        operators = []
        for held in self._held:
            Q = self.decomposition.Q[held]
            if self.decomposition.spans_rows:
                operators.append(Q.new_zeros(()))
                continue
            outside = torch.eye(len(Q)).to(Q) - Q @ Q.T
            if self.decomposition.intercept:
                outside -= 1 / len(self._Q)
            operators.append(outside)
        return operators

    @cached_property
    def operators(self) -> list[_FoldOperators]:
        """What turns each fold's residuals into its held-out predictions."""
        return [self._operators(i) for i in range(len(self.folds))]

    def forget(self) -> None:
        """Frees what only scores and held-out predictions need; it is made again on demand."""
        for name in ("operators", "product_basis", "_outside_operators"):
            self.__dict__.pop(name, None)
        self._buffers.clear()

    def _operators(self, fold: int) -> _FoldOperators:
        Q, scored = self._Q[self._held[fold]], self._scored[fold]
        n_alphas, n_held = len(self._alpha), len(Q)
        n_scored = len(self._scored_rows[fold])
        matrices = Q.new_empty((n_alphas, n_scored, n_held))
        constants = Q.new_empty((n_alphas, n_held))
        delicate: dict[int, tuple[Tensor, Tensor]] = {}
        for some in index_chunks(n_alphas, 8 * CACHE_NUMBERS // max(1, Q.numel())):
            whole, constants[some], amplification = self._invert(fold, some, self._Q)
            matrices[some] = whole[:, scored]
            if self.dtype == torch.float64:
                continue
            lost = (~(amplification < _DELICATE)).nonzero()[:, 0].cpu() + some.start
            if not len(lost):
                continue
            whole, exact_constants, amplification = self._invert(fold, lost, self.decomposition.Q)
            exact = whole[:, scored]
            matrices[lost], constants[lost] = exact.to(matrices), exact_constants.to(constants)
            for i, a in enumerate(lost.tolist()):
                if amplification[i] > _DELICATE:
                    delicate[a] = exact[i], exact_constants[i]
        return _FoldOperators(matrices, constants, delicate)

    def _invert(
        self, fold: int, some: slice | Tensor, basis: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Operators of some alphas in the precision of ``basis``.

        Raises
        ------
        FitError
            If an alpha is so small that predictions are lost in rounding error, in float64.
        """
        Q = basis[self._held[fold]]
        from_fit, kept = self._from_fit[some], self._kept[some].to(Q)
        share = torch.where(from_fit[:, None], kept, self._removed[some].to(Q))
        # M_BB; or I - H_BB by what remains of the identity, if that is less.
        operator = torch.matmul(Q * share[:, None], Q.T)
        M = operator.clone()
        if not from_fit.all():
            operator[~from_fit] += self._outside_operators[fold].to(Q)
        operator[from_fit] *= -1
        operator[from_fit] += torch.eye(len(Q)).to(Q)
        factor, failed = torch.linalg.cholesky_ex(operator)
        largest = operator.diagonal(dim1=1, dim2=2).amax(1)
        pivots = factor.diagonal(dim1=1, dim2=2).square().amin(1) / largest
        failed = (failed > 0) | ~(pivots > 1e-12)
        if failed.any() and Q.dtype == torch.float64:
            alpha = float(self._alpha[some][int(failed.nonzero()[0])])
            raise FitError(
                f"alpha {alpha:g} is too small for this design: the held-out predictions are lost "
                "in rounding error; use larger alphas, or z-score the design"
            )
        inverse = torch.cholesky_inverse(factor)
        amplification = inverse.diagonal(dim1=1, dim2=2).amax(1) * largest
        amplification[failed] = math.inf
        constants = inverse.new_zeros(inverse.shape[:2])
        fits = from_fit.nonzero()[:, 0]
        if len(fits):
            correction = torch.bmm(inverse[fits], M[fits])
            if self.decomposition.intercept:
                shift = correction.sum(2)
                constants[fits] = (1 + shift) / (len(basis) - (1 + shift).sum(1, keepdim=True))
                correction.baddbmm_(shift[:, :, None], constants[fits][:, None])
            inverse[fits] = correction / self._units[some][fits][:, :, None].to(Q)
        return inverse, constants, amplification.double()

    # Of a block of voxels ----------------------------------------------------------------------

    def sums(self, y: ProjectedResponses, with_bias: bool) -> Iterator[HeldOutSums]:
        """Sums of each fold's held-out predictions, for every alpha.

        Parameters
        ----------
        y : ProjectedResponses
            A block of voxels.
        with_bias : bool
            Whether ``bias`` is needed.

        Yields
        ------
        HeldOutSums
            Those of one fold.
        """
        products, outside = self._products(y), self._outside(y)
        exact: ProjectedResponses | None = None
        for fold, held in enumerate(self._held):
            scored = self._scored[fold]
            response = y.centred[held]
            terms = products[:, held].to(self.dtype).flatten(1)
            mean = response[scored].mean(0)
            centred = response[scored] - mean
            pp = response.new_empty((len(self._alpha), response.shape[1]))
            py, bias = torch.empty_like(pp), torch.zeros_like(pp)
            for some in self._alpha_chunks(response.numel()):
                rest = None if outside is None else outside[held]
                p, b = self._predictions(fold, some, terms, response, rest, with_bias)
                means = p.mean(1, keepdim=True)
                p -= means
                pp[some], py[some] = products_with(p, centred)
                if with_bias:
                    bias[some] = mean - self.units[some] * means[:, 0] + b
            for a in self.operators[fold].delicate:
                exact = exact or self._in_float64(y)
                p = self._exact(fold, a, exact)
                bias[a] = (mean - p.mean(0)).to(bias)
                p = (p - p.mean(0)) / self._units[a]
                pp[a], py[a] = p.square().sum(0).to(pp), (p * centred).sum(0).to(py)
            yield HeldOutSums(centred.square().sum(0), pp, py, bias, self.units, len(centred))

    def _alpha_chunks(self, n_numbers: int) -> Iterator[slice | Tensor]:
        """Alphas to work on at once, all of one form, given the numbers of each."""
        from_fit = self._from_fit.cpu().numpy()
        for of_form in (np.flatnonzero(~from_fit), np.flatnonzero(from_fit)):
            for chunk in index_chunks(len(of_form), CACHE_NUMBERS // max(1, n_numbers)):
                yield row_index(of_form[chunk], self.device)

    def _products(self, y: ProjectedResponses) -> Tensor:
        """Every profile's product with the left singular vectors, (profile, row, voxel)."""
        rows, (n_rows, n_voxels) = self.profiles.rows, y.centred.shape
        products = self._buffer("products", (len(rows), n_rows, n_voxels), self._product_dtype)
        for i, row in enumerate(rows):
            scaled = (row[:, None] * y.Z[: len(row)]).to(self._product_dtype)
            torch.mm(self.product_basis[:, : len(row)], scaled, out=products[i])
        return products

    def _outside(self, y: ProjectedResponses) -> Tensor | None:
        """What of the responses the design does not span, if that is needed and not zero."""
        if self.decomposition.spans_rows or self._from_fit.all():
            return None
        return torch.addmm(y.centred, self._Q, y.Z, alpha=-1)

    def _predictions(
        self,
        fold: int,
        some: slice | Tensor,
        terms: Tensor,
        response: Tensor,
        outside: Tensor | None,
        with_bias: bool,
    ) -> tuple[Tensor, Tensor | float]:
        """Predictions (alpha, scored, voxel) in their units, and their constant, for one form."""
        operators, scored = self.operators[fold], self._scored[fold]
        matrices = operators.matrices[some]
        shape = (len(matrices), *response.shape)
        mixed = self._buffer("mixed", shape)
        if self.profiles.mix is None:
            mixed.copy_(terms[some].view(shape))
        else:
            torch.mm(self.profiles.mix[some], terms, out=mixed.flatten(1))
        out = self._buffer("predictions", (*matrices.shape[:2], response.shape[1]))
        if not self._from_fit[some][0]:
            if outside is not None:
                mixed += outside
            torch.bmm(matrices, mixed, out=out)
            return torch.sub(response[scored], out, out=out), 0.0
        residual = self._buffer("residuals", shape)
        for i, unit in enumerate(self.units[some, 0].tolist()):
            torch.sub(response, mixed[i], alpha=unit, out=residual[i])
        torch.baddbmm(mixed[:, scored], matrices, residual, alpha=-1, out=out)
        constant: Tensor | float = 0.0
        if with_bias:
            constant = torch.bmm(operators.constants[some][:, None], residual)[:, 0]
        return out, constant

    def _buffer(self, name: str, shape: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
        """Work space that is kept between blocks: fresh pages cost as much as a pass over them."""
        size, dtype = math.prod(shape), dtype or self.dtype
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < size or buffer.dtype != dtype:
            buffer = self._buffers[name] = torch.empty(size, dtype=dtype, device=self.device)
        return buffer[:size].view(*shape)

    # At one alpha a voxel ----------------------------------------------------------------------

    def predict(self, y: ProjectedResponses, choice: Tensor) -> Tensor:
        """Held-out predictions minus the responses' mean, at one alpha a voxel.

        Parameters
        ----------
        y : ProjectedResponses
            A block of voxels.
        choice : Tensor of int, shape (voxel,)
            Index into the alphas.

        Returns
        -------
        Tensor of shape (row, voxel), float64
            NaN for rows that no fold scores.
        """
        predictions = torch.full_like(y.centred, torch.nan, dtype=torch.float64)
        for a in choice.unique().tolist():
            voxels = torch.nonzero(choice == a).squeeze(1)
            some = y.of_voxels(voxels)
            share = self._kept[a] if self._from_fit[a] else self._removed[a]
            product = self._Q @ (share.to(self.dtype)[:, None] * some.Z)
            if not self._from_fit[a]:
                outside = self._outside(some)
                product = product if outside is None else product + outside
            exact: ProjectedResponses | None = None
            for fold, held in enumerate(self._held):
                rows = self._scored_rows[fold][:, None]
                if a in self.operators[fold].delicate:
                    exact = exact or self._in_float64(some)
                    predictions[rows, voxels] = self._exact(fold, a, exact)
                else:
                    predictions[rows, voxels] = self._predict(fold, a, some, product[held])
        return predictions

    def _predict(self, fold: int, a: int, y: ProjectedResponses, product: Tensor) -> Tensor:
        """Held-out predictions (scored, voxel) of one alpha, from its fit or residuals."""
        operators, scored = self.operators[fold], self._scored[fold]
        response = y.centred[self._held[fold]]
        if not self._from_fit[a]:
            return (response[scored] - operators.matrices[a] @ product).double()
        residual = response - product
        prediction = product[scored] - self.units[a] * (operators.matrices[a] @ residual)
        # The constant can be far larger than the rest.
        return prediction.double() - (operators.constants[a] @ residual).double()

    def _in_float64(self, y: ProjectedResponses) -> ProjectedResponses:
        """The same voxels, projected in float64."""
        centred = y.centred.double()
        return ProjectedResponses(centred, self.decomposition.Q.T @ centred, y.mean)

    def _exact(self, fold: int, a: int, y: ProjectedResponses) -> Tensor:
        """Held-out predictions of a delicate alpha, (scored, voxel), in float64 throughout."""
        held, scored = self._held[fold], self._scored[fold]
        matrix, constant = self.operators[fold].delicate[a]
        Q, response = self.decomposition.Q[held], y.centred[held]
        residual = Q @ (self._removed[a][:, None] * y.Z)
        if not self.decomposition.spans_rows:
            residual += response - Q @ y.Z
        if not self._from_fit[a]:
            return response[scored] - matrix @ residual
        fit = Q[scored] @ (self._kept[a][:, None] * y.Z)
        return fit - self._units[a] * (matrix @ residual) - constant @ residual
