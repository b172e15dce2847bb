"""The packages of the wheel: all folders with an ``__init__.py``, so that a new one needs no second mention."""

from setuptools import find_packages, setup

FLOORS = ("theory", "numerics", "validation")
found = find_packages(include=[pattern for floor in FLOORS for pattern in (floor, f"{floor}.*")])
door = find_packages(include=["widthwise", "widthwise.*"])
setup(packages=[*door, *(f"widthwise.{package}" for package in found)])
