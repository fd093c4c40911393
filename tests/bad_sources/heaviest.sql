SELECT depot, max(grams) AS grams FROM arrivals GROUP BY depot
