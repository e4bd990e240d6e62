"""The moments at which Claude Code calls us: fast cold processes that never break a session."""
