"""Measure a trained model, and classify images with it."""
