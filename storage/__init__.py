"""Where it is kept: SQLAlchemy on SQLite or MariaDB, and the reader of the hooks without it."""
