"""Chapter 0: from ratings to recommendations, and one decay mask."""
