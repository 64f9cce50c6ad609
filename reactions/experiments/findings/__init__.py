"""The paper's findings, rehearsed on the mini lab: contrasts with confidence intervals."""
