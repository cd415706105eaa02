"""The networks of the paper and the two Keras models that train them."""
