"""mmm4rec_lite: MMM4Rec, readable."""
