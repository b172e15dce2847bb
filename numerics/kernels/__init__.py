"""Kernel matrices for thousands of inputs."""
