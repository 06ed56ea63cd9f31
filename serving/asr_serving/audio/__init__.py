"""From an audio file or raw samples to the waveform that a model takes."""
