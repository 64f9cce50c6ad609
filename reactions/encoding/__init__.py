"""Items through encoders: decoding ahead, in batches that fit the memory."""
