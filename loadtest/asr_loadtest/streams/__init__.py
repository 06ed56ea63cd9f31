"""Live streams as load: their playback, the generator that speaks them, the steps that it runs, and their figures."""
