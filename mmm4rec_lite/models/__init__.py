"""The models: MMM4Rec and the systems it is compared with, on one base."""
