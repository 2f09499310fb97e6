"""What is minimised: rows, penalty and coordinates as one function, and its certificate."""
