"""An audio file or raw samples -> the waveform that a model takes."""
