"""Class-wise robustness: the weak classes, and the claims on them."""
