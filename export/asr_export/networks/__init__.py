"""The networks as they are traced: one file a family."""
