"""The MCP tools: thin, each a few lines over a service."""
