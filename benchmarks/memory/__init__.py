"""The memory, measured on data that is not ours: retrieval, compression, redaction, scale, faults, peers."""
