"""Operations that TensorFlow lacks or has in a slower form, and what is chosen for the hardware."""
