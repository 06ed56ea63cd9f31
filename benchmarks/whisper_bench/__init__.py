"""The parts of `compare_whisper.py`: a real Whisper through the kit and through others, on human speech."""
