"""The server while it is under load: Triton's counters, the server's processes and its GPUs."""
