"""Which form does a scaling law have: log-linear, with a plateau, or saturating?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from voxelzoo.science.arrays import Floats
from voxelzoo.science.scaling import by_size, require_sizes

Form = Literal["log-linear", "plateau", "saturating"]
"""Shape of a scaling law."""


@dataclass(frozen=True)
class FormFit:
    """A scaling law of one form: ``offset + scale * basis(x, shape)``.

    The bases are ``x`` (log-linear), ``min(x, shape)`` (plateau) and ``-10^(-shape x)``
    (saturating, a power law towards ``offset``).

    Parameters
    ----------
    form : {"log-linear", "plateau", "saturating"}
        Which form.
    offset, scale : float
        Coefficients, by least squares.
    shape : float
        ``log10`` of the size at which the plateau begins, or the exponent of the saturating form.
    rmse : float
        Root mean squared error on the points that were fitted.
    out_of_sample : float or None
        The same on sizes that were left out one at a time. None if there are too few sizes.
    extrapolation : float or None
        Error (predicted minus observed) at the largest size, predicted from the others.
    """

    form: Form
    offset: float
    scale: float
    shape: float
    rmse: float
    out_of_sample: float | None
    extrapolation: float | None

    def predict(self, x: Floats) -> Floats:
        """Performance (...) at sizes ``x`` (...), in ``log10``."""
        return np.asarray(self.offset + self.scale * _BASES[self.form](x, self.shape))


_BASES: Mapping[Form, Callable[[Floats, float], Floats]] = {
    "log-linear": lambda x, _: x,
    "plateau": lambda x, start: np.minimum(x, start),
    "saturating": lambda x, exponent: -(10.0 ** (-exponent * x)),
}


_N_PARAMETERS: Mapping[Form, int] = {"log-linear": 2, "plateau": 3, "saturating": 3}


def _shapes(form: Form, x: Floats) -> Floats:
    """Values to try for the one parameter that least squares cannot give, (shape,)."""
    sizes = np.unique(x)
    if form == "plateau":
        # It begins between the second and the last size: two sizes below it give the slope.
        return np.linspace(sizes[1], sizes[-1], 60)
    return np.geomspace(0.05, 5, 60) if form == "saturating" else np.zeros(1)


def fit_form(x: Floats, y: Floats, form: Form) -> FormFit:
    """Fits one form by least squares.

    Points of one size count as their mean. The out-of-sample error comes from leaving out each
    size in turn.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    y : ndarray of shape (point,)
        Performance.
    form : {"log-linear", "plateau", "saturating"}
        Which form.

    Returns
    -------
    FormFit

    Raises
    ------
    DataError
        If there are fewer than two sizes, or a value is not finite.
    """
    require_sizes(x, y)
    sizes = np.unique(x)
    offset, scale, shape = _fit(x, y, form)
    residual = y - (offset + scale * _BASES[form](x, shape))
    errors = []
    if len(sizes) > _N_PARAMETERS[form]:
        for size in sizes:
            left_out = x == size
            a, b, c = _fit(x[~left_out], y[~left_out], form)
            errors.append((a + b * _BASES[form](x[left_out], c) - y[left_out]).mean())
    return FormFit(
        form=form,
        offset=offset,
        scale=scale,
        shape=shape,
        rmse=float(np.sqrt(np.mean(residual**2))),
        out_of_sample=float(np.sqrt(np.mean(np.square(errors)))) if errors else None,
        extrapolation=float(errors[-1]) if errors else None,
    )


def _fit(x: Floats, y: Floats, form: Form) -> tuple[float, float, float]:
    """Offset, scale and shape with the least squared error over the means of sizes."""
    x, y = by_size(x, y)
    best = (np.inf, 0.0, 0.0, 0.0)
    for shape in _shapes(form, x):
        basis = _BASES[form](x, float(shape))
        # Sizes beyond a plateau share one value of the basis, but each counts.
        centred = basis - basis.mean()
        scale = float(centred @ y / (centred @ centred)) if np.ptp(basis) > 0 else 0.0
        offset = float(y.mean() - scale * basis.mean())
        error = float(np.square(y - offset - scale * basis).sum())
        if error < best[0] * (1 - 1e-9):
            best = (error, offset, scale, float(shape))
    return best[1:]


def compare_forms(x: Floats, y: Floats) -> dict[Form, FormFit]:
    """Fits every form that the number of sizes allows.

    Parameters
    ----------
    x : ndarray of shape (point,)
        ``log10`` of size.
    y : ndarray of shape (point,)
        Performance.

    Returns
    -------
    dict of str to FormFit
        Best first, by out-of-sample error.
    """
    n = len(np.unique(x))
    fits = [fit_form(x, y, form) for form in _BASES if n >= _N_PARAMETERS[form]]
    fits.sort(key=lambda fit: np.inf if fit.out_of_sample is None else fit.out_of_sample)
    return {fit.form: fit for fit in fits}
