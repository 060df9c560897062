"""What active learning is worth: ensembles trained on chosen, random and conventional labels."""
