"""The kept solution of exercise 11."""

PREDICTION = 10
