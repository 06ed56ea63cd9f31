"""Requests as load: when they arrive, who sends them, and what figures they give."""
