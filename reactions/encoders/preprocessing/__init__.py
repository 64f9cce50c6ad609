"""Preprocessing that several encoders share."""
