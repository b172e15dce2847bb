"""Networks at initialisation: recursions from layer to layer, their closure, and their derivation in steps."""
