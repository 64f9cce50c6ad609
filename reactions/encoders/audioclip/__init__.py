"""AudioCLIP."""
