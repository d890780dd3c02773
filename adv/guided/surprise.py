"""Surprise adequacy: how much the activations of inputs differ from those of training inputs (Kim et al., ICSE 2019).

Activations are (N, D) of one layer; classes are *predicted* classes, integers (N,); the reference is the clean training
set. Both scores are exact for finite values of any size: activations are divided by powers of two, which is exact,
matrix products find candidates, and the result is computed in float64.
"""

import warnings

import numpy
import scipy.linalg

BLOCK = 4096  # rows of one matrix product
PAIRS = 2**24  # pairs of row and reference compared at a time


def lsa(
    train_activations: numpy.ndarray,
    train_classes: numpy.ndarray,
    activations: numpy.ndarray,
    classes: numpy.ndarray,
    *,
    variance_threshold: float = 1e-5,
) -> numpy.ndarray:
    """Likelihood-based surprise: -log density of each row among the references of its class: float64 (N,).

    Kim, Feldt, Yoo 2019, section 3.2: one Gaussian kernel density estimate a class, with Scott's bandwidth
    n^(-1 / (d + 4)) and the full covariance, as in scipy.stats.gaussian_kde.
    train_activations, train_classes: the references.
    activations, classes: the inputs to score.
    variance_threshold: columns whose (population) variance is below it in any class are left out [P].
    With a warning [D]: a singular covariance gets a ridge; a class with a single reference takes the covariance of all
    classes; a row whose class has no reference scores infinity; if no column is left, the columns that vary over all
    classes together are used.
    Raises ValueError for shapes that do not match, values that are not finite, and if no column varies at all.
    """
    train, train_classes, rows, classes = _checked(train_activations, train_classes, activations, classes)
    labels = numpy.unique(train_classes)
    several = [label for label in labels if (train_classes == label).sum() > 1]
    unit = _unit(abs(train).max(axis=0))
    train, rows = _scaled(train, unit), _scaled(rows, unit)

    def varies(part):
        with numpy.errstate(over="ignore"):
            return part.var(axis=0) * unit**2 >= variance_threshold

    # Columns that vary in every class.
    parts = [train[train_classes == label] for label in several] or [train]
    columns = numpy.all([varies(part) for part in parts], axis=0)
    if not columns.any():
        columns = varies(train)
        if not columns.any():
            raise ValueError(f"no column of the {train.shape[1]} varies by {variance_threshold:g}: take another layer")
        warning = (
            f"no column varies by {variance_threshold:g} in every class: {columns.sum()} that vary overall are used"
        )
        warnings.warn(warning, stacklevel=2)
    train, rows, unit = train[:, columns], rows[:, columns], unit[columns]
    # The density of each class at its rows.
    scores = numpy.full(len(rows), numpy.inf)
    for label in numpy.unique(classes):
        reference, own = train[train_classes == label], classes == label
        if not len(reference):
            warnings.warn(
                f"class {label} has no reference: its {own.sum()} inputs are infinitely surprising", stacklevel=2
            )
            continue
        scores[own] = numpy.log(unit).sum() - _log_density(reference, rows[own], train, label, unit)
    return scores


def _log_density(reference, rows, everything, label, unit):
    """log of the kernel density estimate of `reference` (n, d) at `rows` (m, d), both in units (d,) of the columns.

    Minus infinity where the density underflows float64.
    """
    count, width = reference.shape
    spread = reference if count > 1 else everything
    if count == 1:
        warnings.warn(f"class {label} has one reference: it takes the covariance of all classes", stacklevel=3)
    covariance = numpy.atleast_2d(numpy.cov(spread, rowvar=False)) * count ** (-2 / (width + 4))
    factor = _cholesky(covariance, label, unit)
    middle = reference.mean(axis=0)
    white, centres = (
        scipy.linalg.solve_triangular(factor, (part - middle).T, lower=True, check_finite=False).T
        for part in (rows, reference)
    )
    half = (centres**2).sum(axis=1) / 2
    log_sums = numpy.empty(len(rows))
    for start in range(0, len(rows), BLOCK):
        block = white[start : start + BLOCK]
        with numpy.errstate(over="ignore", invalid="ignore"):
            exponent = block @ centres.T - half - (block**2).sum(axis=1, keepdims=True) / 2
        top = exponent.max(axis=1)
        beyond = ~numpy.isfinite(top)  # NaN, or below the range of float64
        exponent[beyond], top[beyond] = -numpy.inf, 0.0
        with numpy.errstate(divide="ignore"):
            log_sums[start : start + BLOCK] = top + numpy.log(numpy.exp(exponent - top[:, None]).sum(axis=1))
    volume = numpy.log(numpy.diag(factor)).sum() + width / 2 * numpy.log(2 * numpy.pi)
    return log_sums - volume - numpy.log(count)


def _cholesky(covariance, label, unit):
    """The lower Cholesky factor, with the smallest power of ten as ridge that makes one possible.

    The ridge is relative to the mean variance of the columns before each was divided by its unit (d,).
    """
    with numpy.errstate(over="ignore"):
        scale = (numpy.diag(covariance) * (unit / unit[:, None]) ** 2).mean(axis=1)
        scale = numpy.where(scale > 0, scale, unit**-2.0)
    for ridge in (0.0, *(10.0**power for power in range(-12, 1))):
        try:
            added = numpy.diag(ridge * scale) if ridge else 0.0
            factor = scipy.linalg.cholesky(covariance + added, lower=True)
        except (scipy.linalg.LinAlgError, ValueError):  # ValueError: values that are not finite
            continue
        if (numpy.diag(factor) > 1e-6 * numpy.sqrt(numpy.diag(covariance))).all():  # no column depends on others
            if ridge:
                warning = (
                    f"the covariance of class {label} is singular: a ridge of {ridge:g} of its mean variance is added"
                )
                warnings.warn(warning, stacklevel=4)
            return factor
    raise ValueError(
        f"the covariance of class {label} cannot be factored, even with a ridge, since its columns differ too much in "
        "size: scale them alike, or take another layer"
    )


def dsa(
    train_activations: numpy.ndarray, train_classes: numpy.ndarray, activations: numpy.ndarray, classes: numpy.ndarray
) -> numpy.ndarray:
    """Distance-based surprise: dist_a / dist_b of each row: float64 (N,).

    Kim, Feldt, Yoo 2019, section 3.3: dist_a is the distance to the nearest reference a of the row's class, dist_b that
    from a to the nearest reference of another class. A reference itself scores exactly 0; 0 / 0 is 0; a row whose class
    has no reference scores infinity, with a warning.
    Arguments as lsa. Raises ValueError as lsa, and for references of fewer than two classes.
    """
    train, train_classes, rows, classes = _checked(train_activations, train_classes, activations, classes)
    labels = numpy.unique(train_classes)
    if len(labels) < 2:
        raise ValueError(
            f"references of {len(labels)} class, expected at least two: there is no other class to be near"
        )
    unit = _unit(abs(train).max())
    train, rows = _scaled(train, unit), _scaled(rows, unit)
    scores = numpy.full(len(rows), numpy.inf)
    for label in numpy.unique(classes):
        inside, own = numpy.flatnonzero(train_classes == label), numpy.flatnonzero(classes == label)
        if not len(inside):
            warnings.warn(
                f"class {label} has no reference: its {len(own)} inputs are infinitely surprising", stacklevel=2
            )
            continue
        nearest, near = _nearest(rows[own], train[inside])
        used, place = numpy.unique(nearest, return_inverse=True)
        _, far = _nearest(train[inside[used]], train[train_classes != label])
        with numpy.errstate(divide="ignore", invalid="ignore"):
            scores[own] = numpy.where(near > 0, near / far[place], 0.0)
    return scores


def _nearest(rows, reference):
    """The (first) nearest reference of each row: (indices, distances float64).

    float32 products select every reference that can be nearest within rounding; these are compared in float64.
    """
    middle = reference.mean(axis=0)
    unit = _unit(abs(reference - middle).max())
    small, single = (_scaled(part - middle, unit).clip(-1e30, 1e30).astype(numpy.float32) for part in (reference, rows))
    single[abs(single).max(axis=1) > 1e15] = numpy.nan  # too far out for float32: all references are compared
    half, length = (small**2).sum(axis=1) / 2, numpy.sqrt((small**2).sum(axis=1))
    if length.max() < 10 * numpy.median(length):  # no far outlier: one bound on rounding for all
        length = length.max()
    width = rows.shape[1]
    tiny, rounding = numpy.finfo(numpy.float32).tiny, numpy.finfo(numpy.float32).eps
    index, distance = numpy.empty(len(rows), int), numpy.empty(len(rows))
    block = max(1, min(BLOCK, PAIRS // max(1, len(reference))))
    for start in range(0, len(rows), block):
        part = single[start : start + block]
        score = half - part @ small.T  # half of the squared distance, up to a constant of the row
        slack = (numpy.sqrt((part**2).sum(axis=1))[:, None] + length) ** 2
        slack *= (width + 8) * rounding / 2
        slack += (width + 8) * tiny
        bound = (score + slack).min(axis=1)
        score -= slack
        row, column = numpy.nonzero(~(score > bound[:, None]))
        exact = _distances(rows[start : start + block], reference, row, column)
        order = numpy.lexsort((column, exact, row))
        first = order[numpy.searchsorted(row[order], numpy.arange(len(part)))]
        index[start : start + block], distance[start : start + block] = column[first], exact[first]
    return index, distance


def _distances(rows, reference, row, column):
    """|rows[row] - reference[column]| of each pair, without overflow."""
    distances = numpy.empty(len(row))
    step = max(1, PAIRS // rows.shape[1])
    for start in range(0, len(row), step):
        pairs = slice(start, start + step)
        differences = rows[row[pairs]] - reference[column[pairs]]
        unit = _unit(abs(differences).max(axis=1))
        with numpy.errstate(over="ignore"):
            distances[pairs] = numpy.sqrt(((differences / unit[:, None]) ** 2).sum(axis=1)) * unit
    return distances


def _unit(size):
    """The largest power of two not above each size; 1 for 0."""
    size = numpy.asarray(size)
    return numpy.where(size > 0, numpy.ldexp(1.0, (numpy.frexp(size)[1] - 1).clip(-1021, 1022)), 1.0)


def _scaled(values, unit):
    """values / unit, clipped to the range of float64."""
    with numpy.errstate(over="ignore"):
        return numpy.nan_to_num(values / unit)


def _checked(train, train_classes, rows, classes):
    """Both activations and classes, checked: float64 (N, D), integers (N,), twice."""
    checked = []
    for what, values, labels in (("reference", train, train_classes), ("input", rows, classes)):
        values, labels = numpy.asarray(values), numpy.asarray(labels)
        if values.ndim != 2 or labels.shape != values.shape[:1] or labels.dtype.kind not in "iu" or not values.size:
            raise ValueError(
                f"{what} activations of shape {values.shape} with {labels.dtype} classes of shape {labels.shape}, "
                "expected (N, D) and integers (N,), with at least one of each"
            )
        values = values.astype(numpy.float64)
        if not numpy.isfinite(values).all():
            raise ValueError(
                f"{what} activations are NaN or infinite in {(~numpy.isfinite(values)).any(axis=1).sum()} rows"
            )
        checked += [values, labels]
    width, expected = checked[2].shape[1], checked[0].shape[1]
    if width != expected:
        raise ValueError(f"{width} columns, expected {expected}, those of the reference")
    return checked
