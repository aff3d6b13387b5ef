"""The ground: one error, whole files, tensors on disk, where things run."""
