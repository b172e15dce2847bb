"""The observables of networks in training: predictions, loss and order parameters, their scatter and their shifts."""

from __future__ import annotations

from ..language.observables import Named, Table

_SAMPLE, _SAMPLE2 = ("output", "sample"), ("output2", "sample2")

#: At infinite width, and in one network of finite width.
MEANS = (
    Named("f", "f", "prediction", ("time", *_SAMPLE)),
    Named("loss", r"\mathcal{L}", "loss, summed over samples", ("time",)),
    Named("Phi", r"\Phi", "overlap of activities", ("layer", "time", "sample", "time2", "sample2")),
    Named("G", "G", "overlap of gradients", ("layer", "time", *_SAMPLE, "time2", *_SAMPLE2)),
    Named("Theta", r"\Theta", "tangent kernel at equal times", ("time", *_SAMPLE, *_SAMPLE2)),
)
#: Of infinite width alone; a response is not symmetric in its two places.
RESPONSES = (
    Named("A", "A", "response of activities to r, over gamma_0", ("layer", "time", "sample", "time2", *_SAMPLE2), exchanged=False),
    Named(
        "B", "B", "response of gradients of the layer above to u, over gamma_0", ("layer", "time", *_SAMPLE, "time2", "sample2"),
        exchanged=False,
    ),
)  # fmt: skip
#: The scatter over initialisations and the shift of the mean, which multiply 1/N.
FLUCTUATIONS = (
    Named(
        "f_variance", r"N\,\mathrm{Var}\,f", "N times the variance of the predictions over initialisations",
        ("time", *_SAMPLE), 1,
    ),
    Named(
        "f_covariance", r"N\,\mathrm{Cov}(f,f)", "N times the covariance of the predictions over initialisations",
        ("time", *_SAMPLE, "time2", *_SAMPLE2), 1,
    ),
    Named(
        "Phi_variance", r"N\,\mathrm{Var}\,\Phi", "N times the variance of the overlap of activities at equal times",
        ("layer", "time", "sample", "sample2"), 1,
    ),
    Named(
        "G_variance", r"N\,\mathrm{Var}\,G", "N times the variance of the overlap of gradients at equal times",
        ("layer", "time", *_SAMPLE, *_SAMPLE2), 1,
    ),
    Named(
        "Theta_variance", r"N\,\mathrm{Var}\,\Theta", "N times the variance of the tangent kernel",
        ("time", *_SAMPLE, *_SAMPLE2), 1,
    ),
    Named("f1", "f_1", "N times the shift of the mean prediction", ("time", *_SAMPLE), 1, "f"),
    Named("loss1", r"\mathcal{L}_1", "N times the shift of the mean loss", ("time",), 1, "loss"),
)  # fmt: skip

#: Of lazy training, whose predictions are Gaussian over initialisations.
LAZY = Table(
    "quantity",
    (
        Named("mean", r"\langle f\rangle", "output, mean over initialisations", ("time", "sample", "output")),
        Named(
            "covariance", r"\mathrm{Cov}(f,f)", "covariance of an output at two samples", ("time", "sample", "sample2")
        ),
        Named("loss", r"\mathcal{L}", "training loss of the mean output, half the sum of squares", ("time",)),
    ),
)

#: All observables of training.
TRAINING = Table("quantity", (*MEANS, *RESPONSES, *FLUCTUATIONS))
