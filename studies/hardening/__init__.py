"""What DARE's idea gains under white-box attack, at equal weight change, effort and cost."""
