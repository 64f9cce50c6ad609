"""The paper's tables and findings."""
