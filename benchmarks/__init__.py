"""How fast the product is, each figure beside a floor measured in the same run.

`make bench` prints medians and ratios.  Nothing here asserts: a shared machine's speed drifts, so
the ratio to the floor is what to compare from day to day.
"""
