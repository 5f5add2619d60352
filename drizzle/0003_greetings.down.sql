UPDATE chatbots SET settings = settings - 'greeting' WHERE name IN ('simulated', 'favorite-song');
