"""The first layer as it is: preactivations of few features whose weights are not Gaussian, and the second layer above them."""
