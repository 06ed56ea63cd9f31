"""Real models and recordings of real speech, which packages of PyPI and Debian carry."""
