"""The row of the system."""

from __future__ import annotations

from widthwise.systems import Row

ROW = Row(
    name="toy",
    about="Averages over random features.",
    subject="toy.theory:RandomFeatures",
    derive="toy.theory:derive",
    compile="toy.numerics:compile",
    predict="toy.numerics:predict",
    simulate="toy.validation:simulate",
    validate="toy.validation:validate",
)
