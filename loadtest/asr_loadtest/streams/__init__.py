"""Live streams as load: who speaks them, and what figures they give."""
