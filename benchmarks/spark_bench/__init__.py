"""The parts of `compare_spark.py`: folders of recordings, who transcribes them, rounds in turns, and the page."""
