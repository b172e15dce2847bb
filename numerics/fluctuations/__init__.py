"""Numbers for fluctuations over initialisations and shifts of the mean."""
