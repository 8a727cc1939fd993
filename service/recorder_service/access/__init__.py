"""Who is calling: tokens of applications, the admin token, and the keys behind them."""
