"""What keeps a server within its means: bounded queues, memory given back."""
