"""Recordings of any length, in windows."""
