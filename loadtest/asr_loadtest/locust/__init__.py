"""Users for Locust over the same client, recordings and live streams."""
