"""From a reaction or an evaluation to a plan, and what a plan will take."""
