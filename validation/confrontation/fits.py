r"""Statistics of one comparison: extrapolation in 1/n, deviations in sigmas, p-values, and the line beyond which one fails.

A prediction is the coefficient c_0 of :math:`y(n)=c_0+c_1/n+\dots`. It is compared with the intercept of a fit with c_1 left
free, never with one width and never by a log-log slope: the next order bends the line long before the noise hides it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from scipy.optimize import elementwise

from ...theory.language.errors import InvalidArgument

Array = NDArray[np.float64]

#: Differences below this, relative to the scale of the quantity, are rounding.
ROUNDING = 1e-9
#: A smaller error, relative to the largest one of other widths, has no more weight.
EXACT = 1e-5
#: Logarithms of p-values below this are those of zero. SciPy's inverse of Student's t of three degrees of freedom, which four
#: networks have, has the wrong sign at p = e^-600.
LEAST = -460.0


@dataclass(frozen=True)
class Extrapolation:
    """One coefficient of y(n) = sum_p c_p n^p for each column, with the contribution of each width to its variance."""

    value: Array
    variances: Array  #: (w, columns)
    dof: Array  #: (w,), degrees of freedom of these

    @property
    def stderr(self) -> Array:
        """Of the coefficients."""
        return np.asarray(np.sqrt(self.variances.sum(axis=0)))


def extrapolate(
    widths: Array, y: Array, stderr: Array, *, groups: Array, powers: tuple[int, ...] = (0, -1), power: int = 0
) -> Extrapolation:
    r"""The limit :math:`1/n\to0` of measurements at several widths, by least squares with the next order free.

    Equation
        :math:`y_k = c_0 + c_1/n_k`, solved with weights :math:`1/r_k^2`; :math:`\mathrm{Var}\,c_0=\sum_k h_k^2 s_k^2` with the
        coefficients h of the linear solution and each column's own standard errors s. The coefficient of ``power``, if another one
        than the intercept is wanted.
    Shapes
        widths: (w,), of which one may be infinite; y, stderr: (w, columns); groups: (w,), the number of groups behind each
        standard error.
    Valid
        :math:`r_k` is the geometric mean of :math:`s_k/s_0` over all columns. Weights from each column's own noise would
        correlate with its estimate and bias the intercept; pooled ones hardly do.
    Errors
        ``InvalidArgument`` for fewer widths than powers.
    """
    widths = np.asarray(widths, dtype=float)
    if len(set(widths.tolist())) < len(powers):
        raise InvalidArgument(
            f"widths={widths.astype(int).tolist()} are too few to leave the next order free; "
            f"allowed: at least {len(powers)} different ones"
        )
    # a number that is exact at one width weighs as if its error were small beside those at the others
    weighed = np.maximum(stderr, EXACT * stderr.max(axis=0))
    noisy = (weighed > 0).all(axis=0)
    ratio = np.exp(np.log(weighed[:, noisy] / weighed[0, noisy]).mean(axis=1)) if noisy.any() else np.ones(len(widths))
    scaled = widths / widths[0]
    design = np.stack([scaled**p for p in powers], axis=1)
    solution = np.linalg.pinv(design / ratio[:, None]) / ratio  # (powers, w): c = solution @ y
    h = solution[powers.index(power)] * widths[0] ** -power
    return Extrapolation(h @ y, h[:, None] ** 2 * stderr**2, np.asarray(groups, dtype=float) - 1)


def sigmas(predicted: Array, measured: Array, stderr: Array, *, scale: float = 0.0) -> Array:
    """(measured - predicted) / stderr; where there is no noise but rounding, 0 for equal numbers and infinity for others.

    All entries belong to one quantity. Its largest value, or ``scale``, the size of what it is computed from, sets the
    scale of rounding: the NTK of the first layer, say, is deterministic, and its variance a difference of equal numbers.
    """
    floor = ROUNDING * max(scale, np.abs(predicted).max(initial=0.0), np.abs(measured).max(initial=0.0))
    difference = measured - predicted
    exact = np.where(np.abs(difference) <= floor, 0.0, np.copysign(np.inf, difference))
    noisy = stderr > floor
    return np.where(noisy, difference / np.where(noisy, stderr, 1.0), exact)


def p_values(sigma: Array, variances: Array, dof: ArrayLike) -> Array:
    r"""Two-sided p-values of deviations in units of an error to which several samples add.

    Equation
        p solves :math:`|\sigma|=\sum_iv_i\,t_{\nu_i}(p)/\sum_iv_i`, with :math:`t_\nu(p)` what Student's t of :math:`\nu` degrees
        of freedom exceeds with probability p on either side (Cochran and Cox 1950).
    Shapes
        sigma (columns,); variances (samples, columns), whose sum is the square of the error; dof (samples,).
    Valid
        For normal samples too large rather than too small, at all p. One t of the degrees of freedom of Welch and Satterthwaite
        is not: at the p of a thousand comparisons it alarms up to seven times as often as it says, since the degrees of freedom
        come out large just where a variance comes out small.
    """
    size, columns = np.abs(np.asarray(sigma, dtype=float)), np.asarray(variances, dtype=float)
    total = columns.sum(axis=0)
    found = np.where(size == 0, 1.0, 0.0)  # a value that is no number fails
    noisy = np.isfinite(size) & (size > 0) & (total > 0)
    if noisy.any():
        share, nu = columns[:, noisy] / total[noisy], np.asarray(dof, dtype=float)[:, None]

        def beyond(log_p: Array, size: Array, *share: Array) -> Array:
            return size + sum(s * special.stdtrit(n, np.exp(log_p) / 2) for s, n in zip(share, nu, strict=True))

        root = elementwise.find_root(beyond, (LEAST, 0.0), args=(size[noisy], *share))
        found[noisy] = np.where(root.success, np.exp(root.x), 0.0)
    return found


def lines(p: float, variances: Array, dof: ArrayLike) -> Array:
    r"""The sizes of deviations whose ``p_values`` are p: the line of each comparison, in units of its standard error.

    Equation
        :math:`\sum_iv_i\,t_{\nu_i}(p)/\sum_iv_i`, from the same samples as the p-value; without noise that of a normal law.
    Shapes
        variances (samples, columns); dof (samples,); the result (columns,).
    """
    columns = np.asarray(variances, dtype=float)
    total = columns.sum(axis=0)
    t = special.stdtrit(np.asarray(dof, dtype=float), max(p, np.exp(LEAST)) / 2)
    return np.where(total > 0, -(t @ columns) / np.where(total > 0, total, 1.0), stats.norm.isf(p / 2))
