"""The web desk: people drop films on a page, the desk keeps what was read in them."""
