"""The gain of DARE's idea under white-box attack, at equal weight change, effort and cost."""
