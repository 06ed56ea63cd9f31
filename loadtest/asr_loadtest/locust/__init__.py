"""Users for Locust, which send the recordings and live streams of a load test."""
