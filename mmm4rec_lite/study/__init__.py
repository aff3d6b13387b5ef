"""The study: one module per chapter with its numbers and figures, on the protocol that they share."""
