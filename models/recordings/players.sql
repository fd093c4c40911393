SELECT url, white__username FROM chess.games
