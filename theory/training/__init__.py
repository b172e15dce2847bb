"""Networks in training: the subject, losses, and the equations of the dynamical mean-field theory."""
