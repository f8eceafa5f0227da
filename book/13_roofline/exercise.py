"""Exercise 13: stage the convolution in exercise.cu. First predict."""

# A register tile of 4 × 4 reads 4 + 4 numbers from shared memory for 16 products: two products for each read.
# How many products for each read has a tile of 8 × 8?
PREDICTION = None
