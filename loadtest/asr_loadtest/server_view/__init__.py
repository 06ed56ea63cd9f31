"""The server while it is under load: its own counters, its processes, its GPUs."""
