"""The networks that the export traces: one file a family."""
