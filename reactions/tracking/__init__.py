"""Where losses and scores go as they come, apart from results: TensorBoard files, and others."""
