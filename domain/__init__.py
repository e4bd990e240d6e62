"""The words and the rules: no database, network, clock, environment or files."""
