"""Pages in which a trained model runs: plain JavaScript and one HTML file each, without Python and network."""
