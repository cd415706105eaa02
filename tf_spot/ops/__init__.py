"""Operations that TensorFlow lacks or has in a slower form, and what is known of the processor."""
