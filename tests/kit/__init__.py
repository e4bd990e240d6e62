"""The test kit: the real Claude Code client with a scripted model, headless and in a terminal."""
