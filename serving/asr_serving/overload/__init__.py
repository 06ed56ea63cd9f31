"""Protection against overload: bounded queues, an orderly stop, and memory returned to the system."""
