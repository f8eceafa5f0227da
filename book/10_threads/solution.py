"""The kept solution of exercise 10."""

PREDICTION = 8
