"""Requests as load: their arrivals, the generator that sends them, the steps that it runs, and their figures."""
