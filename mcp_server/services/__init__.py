"""The use cases, one file per concept."""
