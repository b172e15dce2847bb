"""The first layer as it is: preactivations of few features, whose weights are not Gaussian, and what the second layer makes of them."""
