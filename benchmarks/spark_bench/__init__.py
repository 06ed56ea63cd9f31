"""The parts of `spark.py`: folders of recordings, who transcribes them, rounds in turns, and the page."""
