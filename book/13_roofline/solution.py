"""The kept solution of exercise 13."""

PREDICTION = 4
