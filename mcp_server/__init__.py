"""Who may ask, and how we answer: the MCP server, the command line and the services behind both."""

__version__ = "0.2.0"
