"""Human evaluation: blinded answers, a balanced design, judgements kept, and what they say."""
