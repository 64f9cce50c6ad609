"""Descriptions in other forms: tables of any kind, and UniBind's released JSON."""
