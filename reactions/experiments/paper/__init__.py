"""The paper's tables and figures as data: spaces, how they are made, and published figures."""
