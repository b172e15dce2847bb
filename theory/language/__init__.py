"""The language: letters, jets, quantities, steps, LaTeX, errors and checks that every wing speaks."""
